"""Transactions across shards, as each shard's log sees them: the rules of the two-phase protocol.

``prepare`` (every shard that takes part) checks what was read and keeps the writes; ``decide`` (in
the home shard: that of the first key the author touched) is the verdict; ``finish`` (in the
others) writes or forgets. Nothing but the home shard's log says how a transaction ended: a row
``decided`` there, or else, once its own part is gone, it did not happen. So whoever meets one whose
author is silent ends it: ``abort`` there, unless it is decided, then ``finish``.

``decide`` takes the others' ``prepare`` for done, ``finish`` the ``decide``, and whatever forgets a
transaction each ``finish``: such entries name it (``needs``: ``gate.py``), which no rule looks at.
"""

from __future__ import annotations

from typing import Any

import msgspec

from pileus.errors import Conflict
from pileus.state import entry as codec
from pileus.state import owned, tablets
from pileus.state.entry import StaleEpoch
from pileus.state.locks import Held, decided_key, decode_held, encode_held, held_key
from pileus.state.rules import range_digest
from pileus.state.sharding import ShardTx
from pileus.state.tx import change_key, ordered_key

PREPARE, DECIDE, FINISH, ABORT = "txn.prepare", "txn.decide", "txn.finish", "txn.abort"
FORGET = "txn.forget"
PLACE = "txn.place"
_encode = msgspec.msgpack.encode


def place(tx: ShardTx, above: int) -> int:
    """A place in the order of all shards' writes that nobody else has, above ``above`` and above
    all in this shard so far."""
    found = max(tx.sequence, (above // owned.SLOTS + 1) * owned.SLOTS + tx.sharding.number)
    owned.raise_base(tx, found)
    return found


def prepare(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{id, home, shards, reads [[key, version or 0]], ranges [[start, end, limit, reverse,
    digest]], writes [[key, value or nil]], changes [[topic, payload]], ordered [[table, partition,
    suffix, value]], place}``. ``Conflict`` when what was read has changed; the verdict "old epoch"
    when something is held or not owned here."""
    for key, version in args["reads"]:
        row = tx.row(key)
        if (row.version if row else 0) != version:
            raise Conflict(key)
    for start, end, limit, reverse, digest in args["ranges"]:
        if range_digest(tx.range(start, end, limit, reverse)) != digest:
            raise Conflict(start)
    view = tx.sharding
    for key, _ in args["writes"]:
        if key.startswith(view.shared):
            if not view.number and len(args["shards"]) != tablets.shards(tx):
                raise StaleEpoch  # there are more by now
        elif not key.startswith(view.exempt):
            view.serving(key)
        view.locks.check_write(key)
    for topic, _ in args["changes"]:
        view.serving(change_key(topic, 0))
    for table, partition, _, _ in args["ordered"]:
        view.serving(ordered_key(table, partition, 0))
    held = Held(
        args["home"],
        args["shards"],
        [k for k, _ in args["reads"]],
        [(r[0], r[1]) for r in args["ranges"]],
        args["writes"],
        args["changes"],
        args["place"],
        args["ordered"],
    )
    tx.put(held_key(args["id"]), encode_held(held))


def _release(tx: ShardTx, txn: bytes, commit: bool) -> Held | None:
    """End this shard's part; None where there is none (any more)."""
    row = tx.row(held_key(txn))
    if row is None:
        return None
    held = decode_held(row.value)
    if commit:
        # What all shards share has one version in all of them: any may check what was read.
        common = int.from_bytes(txn[:7], "big")
        for key, value in held.writes:
            tx.force(key, value)
            version = common if key.startswith(tx.sharding.shared) else held.place
            if version:
                tx.versions[key] = version
        if held.place:
            owned.raise_base(tx, held.place)
        for index, (topic, payload) in enumerate(held.changes):
            tx.force(change_key(topic, tx.sequence, index), payload)
        for table, partition, suffix, value in held.ordered:
            tx.force(ordered_key(table, partition, tx.sequence, suffix), value)
    tx.delete(held_key(txn))
    return held


def decide(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{id, rule, verdict, forget [id]}``: the transaction ends with ``verdict``, which is this
    entry's own and is remembered for repeats of the author's request of ``rule``. ``forget``:
    transactions decided here that are finished everywhere."""
    held = _release(tx, args["id"], args["verdict"][1] == codec.OK)
    if held is None:
        raise Conflict("somebody ended the transaction")
    if args["verdict"][1] == codec.OK:
        tx.put(decided_key(args["id"]), _encode(held.shards))
    _forget(tx, args["forget"])
    tx.verdict = args["verdict"]


def abort(tx: ShardTx, txn: bytes) -> bool:
    """In the home shard: the transaction did not happen, unless it is decided. Answers whether it
    did."""
    if tx.row(decided_key(txn)) is not None:
        return True
    _release(tx, txn, False)
    return False


def finish(tx: ShardTx, args: dict[str, Any]) -> None:
    """``{id, commit}``: do in this shard what the home shard's log says."""
    _release(tx, args["id"], args["commit"])


def forget(tx: ShardTx, args: dict[str, Any] | list[bytes]) -> None:
    """``{txns}`` (or, in older entries, those alone): transactions that are finished in every
    shard need no row any more."""
    _forget(tx, args["txns"] if isinstance(args, dict) else args)


def _forget(tx: ShardTx, txns: list[bytes]) -> None:
    for txn in txns:
        tx.delete(decided_key(txn))


RULES: dict[str, Any] = {
    PLACE: place,
    PREPARE: prepare,
    DECIDE: decide,
    FINISH: finish,
    ABORT: abort,
    FORGET: forget,
}
