"""What one of several shards owns: ranges of keys, each arriving, arrived (whole, and not yet on
the map), serving, leaving or frozen.

Rows of the shard itself say so (``tablets / own / start`` → ``[end, state, peer]``), so ``apply``
refuses what is not its own by its own log alone. A shard that is the only one has no such rows and
owns everything. ``peer``: the shard a range comes from or goes to.

Some tables lie in no tablet. ``LOCAL``: every shard has rows of its own. Shared ones (a row names
them): every shard has the same rows, for rules to read beside whatever they change. ``BESIDE``: a
row lies in the shard of whoever wrote it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from pileus.state import keys
from pileus.state.tx import Reader, Tx

ARRIVING, SERVING, LEAVING, FROZEN, ARRIVED = range(5)
STATES = ("arriving", "serving", "leaving", "frozen", "arrived")
LOCAL = (b"tablets\x00", b"txn\x00", b"marks\x00", b"moves\x00")  # rows every shard has of its own
BESIDE = b"blobrefs\x00"  # which blobs are named: beside the row that names them
UNPLACED = (*LOCAL, BESIDE)
SLOTS = 64  # shards at most: a row's version tells, by the rest of a division, which wrote it
NUMBER_KEY = keys.key("tablets", "shard")
SHARED_KEY = keys.key("tablets", "shared")
COPIED_KEY = keys.key("tablets", "copied")
ADOPTED_KEY = keys.key("tablets", "adopted")
BASE_KEY = keys.key("tablets", "base")
OWN = keys.partition_prefix("tablets", "own")
RANGES_MAX = 100_000
INFINITE = b"\xff" * 64  # above every key

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Range(NamedTuple):
    """Keys from ``start`` on, below ``end`` (b"": no end)."""

    start: bytes
    end: bytes
    state: int
    peer: int

    def holds(self, key: bytes) -> bool:
        return self.start <= key and (not self.end or key < self.end)


class Owned:
    """The ranges of a shard, in key order."""

    def __init__(self, ranges: list[Range]) -> None:
        self.ranges = ranges
        self._starts = [r.start for r in ranges]

    def find(self, key: bytes) -> Range | None:
        at = bisect_right(self._starts, key) - 1
        if at < 0:
            return None
        found = self.ranges[at]
        return found if not found.end or key < found.end else None

    def within(self, start: bytes, end: bytes) -> Iterator[Range | None]:
        """The ranges that cover start <= key < end, None for each gap between them."""
        at = start
        while at < end:
            found = self.find(at)
            yield found
            if found is None:
                after = self._starts[bisect_right(self._starts, at) :]
                if not after:
                    return
                at = after[0]
            elif not found.end:
                return
            else:
                at = found.end


def holds_local(start: bytes, end: bytes, common: tuple[bytes, ...] = ()) -> bool:
    """Whether a range (``end`` b"": no end) holds tables that lie in no tablet; ``common``:
    prefixes of the shared ones."""
    top = end or INFINITE
    return any(start < keys.after_prefix(p) and p < top for p in (*UNPLACED, *common))


def shared(reader: Reader) -> tuple[bytes, ...]:
    """What the keys of tables start with whose rows every shard has."""
    row = reader.row(SHARED_KEY)
    return tuple(map(keys.table_prefix, _decode(row.value))) if row else ()


def load(reader: Reader) -> Owned:
    """What the shard's own rows say."""
    rows = reader.range(OWN, keys.after_prefix(OWN), RANGES_MAX)
    return Owned([Range(keys.split(r.key)[2], *_decode(r.value)) for r in rows])


def number(reader: Reader) -> int | None:
    """Which shard this is; None where it is the only one."""
    row = reader.row(NUMBER_KEY)
    return None if row is None else int(_decode(row.value))


def base(reader: Reader) -> int:
    """What is added to this shard's sequence numbers where they become versions of rows: a row
    that moves here must not meet lower ones than it had."""
    row = reader.row(BASE_KEY)
    return 0 if row is None else int(_decode(row.value))


def adopted(reader: Reader) -> int:
    """The version at which a tablet came here last; 0: none did."""
    row = reader.row(ADOPTED_KEY)
    return 0 if row is None else int(_decode(row.value))


def note_adopted(tx: Tx) -> None:
    tx.put(ADOPTED_KEY, _encode(tx.sequence))


def raise_base(tx: Tx, above: int) -> None:
    """From the next entry on, versions here are greater than ``above``."""
    if tx.sequence < above:
        tx.put(BASE_KEY, _encode(base(tx) - (tx.sequence - above) // SLOTS))


def carve(tx: Tx, start: bytes, end: bytes, state: int | None, peer: int = 0) -> None:
    """Give start <= key < end (``end`` b"": no end) a state of its own; None: it is not owned any
    more. Neighbours in one state and without a peer are joined."""
    top = end or INFINITE
    kept: list[Range] = []
    for r in load(tx).ranges:
        tx.delete(keys.key("tablets", "own", r.start))
        r_top = r.end or INFINITE
        if r_top <= start or r.start >= top:
            kept.append(r)
            continue
        if r.start < start:
            kept.append(r._replace(end=start))
        if r_top > top:
            kept.append(r._replace(start=end))
    if state is not None:
        kept.append(Range(start, end, state, peer))
    for r in _joined(sorted(kept)):
        tx.put(keys.key("tablets", "own", r.start), _encode(r[1:]))


def _joined(ranges: list[Range]) -> list[Range]:
    found: list[Range] = []
    for r in ranges:
        last = found[-1] if found else None
        plain = last is not None and last.state == r.state == SERVING
        if last is not None and plain and last.end == r.start:
            found[-1] = last._replace(end=r.end)
        else:
            found.append(r)
    return found


def found_shard(tx: Tx, args: dict[str, Any]) -> None:
    """The rule that makes a log one of several: ``{shard, ranges [[start, end]]}``. A second time
    it changes nothing."""
    if tx.row(NUMBER_KEY) is not None:
        return
    tx.put(NUMBER_KEY, _encode(args["shard"]))
    for start, end in args["ranges"]:
        tx.put(keys.key("tablets", "own", start), _encode([end, SERVING, 0]))


def share(tx: Tx, args: dict[str, Any]) -> None:
    """The rule, in every shard, that says which tables' rows every shard has: ``{tables, copied}``;
    ``copied``, in shard 0 at last: that so many shards have them now."""
    names = sorted(args["tables"])
    if tx.get(SHARED_KEY) != _encode(names):
        tx.put(SHARED_KEY, _encode(names))
    if "copied" in args:
        tx.put(COPIED_KEY, _encode([names, args["copied"]]))


def copied(reader: Reader) -> list[Any] | None:
    """[the shared tables, how many shards have their rows], as shard 0's rows say."""
    row = reader.row(COPIED_KEY)
    return None if row is None else list(_decode(row.value))


RULES = {"shard.found": found_shard, "shard.share": share}
