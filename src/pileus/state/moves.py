"""The rules by which a tablet goes from one shard to another while it is used.

Shard 0 plans (``tablets / moving / start``) and at last switches the map. In between: the target
takes an empty range (*arriving*), the source notes what changes in its own (*leaving*: a dirty row
for each key written), rows are copied in chunks, then what is dirty, then the source freezes, the
rest is copied; the map switches, the target serves. Each step is an entry and may be repeated; the
rows say how far it is, so whoever finds a plan goes on with it (``moving.py``).

A mover may have slept while others finished its plan and carried out the next ones of the same
tablet. So each step names its plan (``made``: the version of the plan's row, which grows), shard 0
takes it of no other plan than the one that stands, and a shard that has begun a later one refuses
it (``tablets / fence / start``). Entries written under rules before version 4 may name none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pileus.errors import AwsError, Conflict
from pileus.state import keys, owned, tablets
from pileus.state.owned import ARRIVED, ARRIVING, FROZEN, INFINITE, LEAVING, SERVING, Range
from pileus.state.sharding import ShardTx
from pileus.state.tx import Reader, Tx

MOVING = keys.partition_prefix("tablets", "moving")
MOVED = keys.partition_prefix("tablets", "moved")
REMEMBERED_MS = 20 * 60_000  # twice what a shard remembers requests for: clocks differ
PLANS_MAX = 1000

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Plan(NamedTuple):
    """A move under way."""

    start: bytes
    end: bytes
    source: int
    target: int
    made: int  # the version of its row


class Former(NamedTuple):
    """Where a range was until ``at_ms``: its requests are remembered there for a while."""

    start: bytes
    end: bytes
    source: int
    at_ms: int


def plans(reader: Reader) -> list[Plan]:
    """The moves under way, as shard 0's rows say."""
    rows = reader.range(MOVING, keys.after_prefix(MOVING), PLANS_MAX)
    return [Plan(keys.split(r.key)[2], *(*_decode(r.value), r.version)) for r in rows]


def formers(reader: Reader) -> list[Former]:
    rows = reader.range(MOVED, keys.after_prefix(MOVED), PLANS_MAX)
    return [Former(*_decode(r.value)) for r in rows]


def moving_key(start: bytes) -> bytes:
    return keys.key("tablets", "moving", start)


def cursor_key(start: bytes) -> bytes:
    """In the target: from which key on the tablet is still to be copied."""
    return keys.key("tablets", "cursor", start)


def fence_key(start: bytes) -> bytes:
    """In a shard: which plan of the tablet it began last."""
    return keys.key("tablets", "fence", start)


def _fence(tx: Tx, args: dict[str, Any], *, begins: bool = False) -> None:
    """``Conflict`` when this shard has begun a later plan of the tablet."""
    made = args.get("made")
    if made is None:
        return
    row = tx.row(fence_key(args["start"]))
    last = 0 if row is None else _decode(row.value)
    if last > made:
        raise Conflict("the tablet went on since: this plan is of the past")
    if begins and last < made:
        tx.put(fence_key(args["start"]), _encode(made))


# -- in shard 0 ------------------------------------------------------------------------------


def plan(tx: Tx, args: dict[str, Any]) -> list[Any]:
    """``{start, target}``: the tablet that begins at ``start`` is to go to ``target``. Answers
    ``[start, end, source, target]``. ``AwsError`` InvalidMove where it cannot."""
    start, target = args["start"], args["target"]
    tablet = tablets.load(tx).locate(start)
    if tablet.start != start or not 0 <= target < tablets.shards(tx):
        raise AwsError("InvalidMove", "no tablet begins at this key, or there is no such shard")
    if owned.holds_local(start, tablet.end, owned.shared(tx)):
        raise AwsError("InvalidMove", "the tablet holds rows every shard has: split it first")
    if tx.row(moving_key(start)) is not None or tablet.shard == target:
        raise AwsError("InvalidMove", "it is there, or on its way")
    tx.put(moving_key(start), _encode([tablet.end, tablet.shard, target]))
    return [start, tablet.end, tablet.shard, target]


def _stands(tx: Tx, args: dict[str, Any]) -> bool:
    """Whether the plan is under way."""
    row = tx.row(moving_key(args["start"]))
    return row is not None and args.get("made") in (None, row.version)


def switch(tx: Tx, args: dict[str, Any]) -> None:
    """``{start, target, made}``: from now on the map leads to the target. ``Conflict`` when the
    plan is of the past."""
    current = tablets.load(tx)
    tablet = current.locate(args["start"])
    stands = _stands(tx, args)
    if not stands and "made" in args:
        raise Conflict("another mover was faster")
    if not stands or tablet.shard == args["target"]:
        return
    tablets.save(tx, tablet._replace(shard=args["target"], epoch=current.epoch + 1))
    tx.put(tablets.VERSION_KEY, _encode(current.epoch + 1))
    for old in formers(tx):
        if old.at_ms < tx.now_ms - REMEMBERED_MS:
            tx.delete(keys.key("tablets", "moved", _place(old)))
    former = Former(tablet.start, tablet.end, tablet.shard, tx.now_ms)
    tx.put(keys.key("tablets", "moved", _place(former)), _encode(former))


def _place(former: Former) -> bytes:
    return former.at_ms.to_bytes(8, "big") + former.start


def moved(tx: Tx, args: dict[str, Any] | bytes) -> None:
    """``{start, made}`` (or, in older entries, the start alone): the source has let go of the last
    row."""
    told = {"start": args} if isinstance(args, bytes) else args
    if _stands(tx, told):
        tx.delete(moving_key(told["start"]))


# -- in the target ---------------------------------------------------------------------------


def arrive(tx: ShardTx, args: dict[str, Any]) -> list[Any]:
    """``{start, end, source, made}``: make room. Answers where the copy stands: ``[key,
    count]``."""
    start, end = args["start"], args["end"]
    _fence(tx, args, begins=True)
    cursor = tx.row(cursor_key(start))
    if cursor is not None:
        return list(_decode(cursor.value))
    if any(r is not None for r in tx.sharding.owned.within(start, end or INFINITE)):
        raise Conflict("the range is owned here already")
    owned.carve(tx, start, end, ARRIVING, args["source"])
    tx.put(cursor_key(start), _encode([start, 0]))
    return [start, 0]


def take(tx: ShardTx, args: dict[str, Any]) -> list[Any]:
    """``{start, rows [[key, value or nil, version]], at, next, made}``: rows of the source. ``at``:
    where the copy stood before they were read; ``Conflict`` when it stands elsewhere: another mover
    may have brought later ones. ``next``: the key it goes on from. Answers as ``arrive``."""
    _fence(tx, args)
    cursor = tx.row(cursor_key(args["start"]))
    if cursor is None or _decode(cursor.value) != args["at"]:
        raise Conflict("another mover was here")
    for key, value, version in args["rows"]:
        tx.writes[key] = value
        tx.versions[key] = version
    now = [args["next"], args["at"][1] + 1]
    tx.put(cursor_key(args["start"]), _encode(now))
    return now


def adopt(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{start, end, above, shut, made}``: the range is whole; its versions are to be greater than
    the source's last, ``above``. It is served when it is opened (in older entries, without
    ``shut``, at once)."""
    _fence(tx, args)
    if tx.row(cursor_key(args["start"])) is None:
        return
    owned.carve(tx, args["start"], args["end"], ARRIVED if args.get("shut") else SERVING)
    tx.delete(cursor_key(args["start"]))
    owned.raise_base(tx, args["above"])
    owned.note_adopted(tx)


def open_(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{start, end, made}``: the map leads here; serve it. So no entry of this log that touches
    the range can reach a node before the map does (``gate.py``)."""
    _fence(tx, args)
    found = _mine(tx, args["start"])
    if found is not None and found.state == ARRIVED:
        owned.carve(tx, args["start"], args["end"], SERVING)


# -- in the source ---------------------------------------------------------------------------


def _mine(tx: ShardTx, start: bytes) -> Range | None:
    return tx.sharding.owned.find(start)


def leave(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{start, end, target, made}``: note from now on what is written."""
    _fence(tx, args, begins=True)
    found = _mine(tx, args["start"])
    if found is None or found.state != SERVING:
        return
    owned.carve(tx, args["start"], args["end"], LEAVING, args["target"])


def clean(tx: ShardTx, args: list[list[Any]]) -> None:
    """``[[dirty row's key, version], …]``: copied, unless it changed again."""
    for key, version in args:
        row = tx.row(key)
        if row is not None and row.version == version:
            tx.delete(key)


def freeze(tx: ShardTx, args: dict[str, Any]) -> list[Any]:
    """``{start, end, made}``: refuse what is new. Answers ``[whether transactions still hold
    something in it, this shard's last version]``."""
    _fence(tx, args)
    found = _mine(tx, args["start"])
    if found is not None and found.state == LEAVING:
        owned.carve(tx, args["start"], args["end"], FROZEN, found.peer)
    held = tx.sharding.locks.touches(args["start"], args["end"] or INFINITE)
    return [held, tx.sequence]


def drop(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{start, end, made}``: the map leads elsewhere."""
    _fence(tx, args)
    found = _mine(tx, args["start"])
    if found is not None and found.state == FROZEN:
        owned.carve(tx, args["start"], args["end"], None)


def purge(tx: ShardTx, args: dict[str, Any]) -> int:
    """``{start, end, limit}``: remove rows of a range that is not owned here (any more); answers
    how many."""
    start, end = args["start"], args["end"] or INFINITE
    if any(r is not None for r in tx.sharding.owned.within(start, end)):
        return 0
    rows = tx.plain_range(start, end, args["limit"])
    for row in rows:
        tx.writes[row.key] = None
    return len(rows)


def drop_stray(tx: ShardTx, args: dict[str, Any]) -> int:
    """``{key, below}``: a row beside its writer, whose tablet went on to another shard and where it
    was deleted by the entry ``below``. Newer ones stay. Answers how many went."""
    row = tx.row(args["key"])
    if row is None or row.version >= args["below"]:
        return 0
    tx.writes[row.key] = None
    return 1


RULES: dict[str, Any] = {
    "move.stray": drop_stray,
    "move.plan": plan,
    "move.switch": switch,
    "move.moved": moved,
    "move.arrive": arrive,
    "move.take": take,
    "move.adopt": adopt,
    "move.open": open_,
    "move.leave": leave,
    "move.clean": clean,
    "move.freeze": freeze,
    "move.drop": drop,
    "move.purge": purge,
}
