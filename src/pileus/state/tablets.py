"""Which shard holds which keys: the routing map, its versions, and splits.

A tablet is a range of keys. The map lives in rows of the state itself: ``tablets / "" / start`` →
``{id, end, shard, epoch}``, beside the map's version. No row at all means one tablet, 0, that
holds every key. ``epoch`` is the map's version when the tablet last changed: an entry routed by an
older map may not touch it.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import Any, NamedTuple

import msgspec

from pileus.errors import AwsError
from pileus.state import keys, owned, versions
from pileus.state.entry import StaleEpoch
from pileus.state.tx import Reader, Row, Tx

PREFIX = b"tablets\x00"
VERSION_KEY = keys.key("tablets", "version")
ROWS_PREFIX = keys.partition_prefix("tablets", "")
SHARDS_KEY = keys.key("tablets", "shards")
SPREAD_KEY = keys.key("tablets", "spread")
LAST = b""  # the end of the last tablet: no key is above it

_encode = msgspec.msgpack.encode
_decode = msgspec.msgpack.decode


class Tablet(NamedTuple):
    start: bytes
    id: int
    end: bytes
    shard: int
    epoch: int


WHOLE = Tablet(b"", 0, LAST, 0, 0)


class TabletMap:
    """All tablets in key order, the map's version (``epoch``), the version of the rules in force
    (0: none is named), how many shards there are, and what is ``shared`` by all (prefixes)."""

    def __init__(
        self,
        tablets: list[Tablet],
        epoch: int,
        rules: int = 0,
        count: int = 1,
        shared: tuple[bytes, ...] = (),
    ) -> None:
        self.tablets = tablets
        self.epoch = epoch
        self.rules = rules
        self.count = count
        self.shared = shared
        self.unplaced = (*shared, owned.BESIDE)  # keys that no tablet leads to
        self._starts = [t.start for t in tablets]

    def locate(self, key: bytes) -> Tablet:
        return self.tablets[bisect_right(self._starts, key) - 1]

    def within(self, start: bytes, end: bytes) -> list[Tablet]:
        """The tablets that hold keys of start <= key < end."""
        first = max(0, bisect_right(self._starts, start) - 1)
        return [t for t in self.tablets[first:] if t.start < end]


def load(reader: Reader) -> TabletMap:
    """The map as the rows say."""
    version, rules = reader.row(VERSION_KEY), versions.in_force(reader)
    if version is None:
        return TabletMap([WHOLE], 0, rules)
    rows = reader.range(ROWS_PREFIX, keys.after_prefix(ROWS_PREFIX), 1_000_000)
    found = [Tablet(keys.split(r.key)[2], *_decode(r.value)) for r in rows]
    return TabletMap(found, _decode(version.value), rules, shards(reader), owned.shared(reader))


def save(tx: Tx, tablet: Tablet) -> None:
    """Write one tablet's row; the map's version is the caller's to raise."""
    tx.put(keys.key("tablets", "", tablet.start), _encode(tablet[1:]))


def split(tx: Tx, args: dict[str, Any]) -> list[int]:
    """Cut the tablet that holds ``at`` in two, the second starting at ``at``. Answers both ids.
    ``AwsError`` InvalidSplit when a tablet starts there already."""
    at = args["at"]
    current = load(tx)
    tablet = current.locate(at)
    if tablet.start == at:
        raise AwsError("InvalidSplit", "a tablet starts at this key already")
    if tx.row(keys.key("tablets", "moving", tablet.start)) is not None:
        raise AwsError("InvalidSplit", "the tablet is on its way to another shard")
    version = current.epoch + 1
    left = tablet._replace(end=at, epoch=version)
    right = Tablet(at, max(t.id for t in current.tablets) + 1, tablet.end, tablet.shard, version)
    save(tx, left)
    save(tx, right)
    tx.put(VERSION_KEY, _encode(version))
    return [left.id, right.id]


def layout(tx: Tx, args: dict[str, Any]) -> None:
    """The rule, in shard 0, that makes shards several: ``{shards, tablets [[start, shard]]}``,
    in key order, the first from b"" on and in shard 0: the first map, if there is none yet. A range
    that is to lie elsewhere must be empty. More shards than before are only noted: tablets move
    there later."""
    if tx.row(SHARDS_KEY) is None:
        if tx.row(VERSION_KEY) is None:
            _lay_out(tx, args["tablets"])
        for tablet in load(tx).tablets:
            if not tablet.shard:
                value = _encode([tablet.end, owned.SERVING, 0])
                tx.put(keys.key("tablets", "own", tablet.start), value)
        tx.put(owned.NUMBER_KEY, _encode(0))
    if args["shards"] > shards(tx):
        tx.put(SHARDS_KEY, _encode(args["shards"]))


def spread(tx: Tx, count: int) -> None:
    """The rule, in shard 0: each of ``count`` shards has been given tablets once."""
    if spread_over(tx) < count:
        tx.put(SPREAD_KEY, _encode(count))


def spread_over(reader: Reader) -> int:
    """How many shards have been given tablets once."""
    row = reader.row(SPREAD_KEY)
    return 1 if row is None else int(_decode(row.value))


def _lay_out(tx: Tx, wanted: list[Any]) -> None:
    starts = [start for start, _ in wanted]
    for at, (start, shard) in enumerate(wanted):
        end = starts[at + 1] if at + 1 < len(starts) else LAST
        if shard and tx.range(start, end or owned.INFINITE, 1):
            raise AwsError("InvalidLayout", "a range with rows cannot begin in another shard")
        save(tx, Tablet(start, at, end, shard, 1))
    tx.put(VERSION_KEY, _encode(1))


def shards(reader: Reader) -> int:
    """How many shards there are, as shard 0's rows say."""
    row = reader.row(SHARDS_KEY)
    return 1 if row is None else int(_decode(row.value))


RULES = {"tablet.split": split}
SHARD_RULES: dict[str, Any] = {"tablet.layout": layout, "tablet.spread": spread}


class CheckedTx(Tx):
    """The view of an entry routed by an old map: it may touch only tablets unchanged since."""

    def __init__(
        self,
        reader: Reader,
        sequence: int,
        now_ms: int,
        request_id: bytes,
        tablet_map: TabletMap,
        epoch: int,
    ) -> None:
        super().__init__(reader, sequence, now_ms, request_id)
        self._map = tablet_map
        self._epoch = epoch

    def _check(self, key: bytes) -> None:
        if self._map.locate(key).epoch > self._epoch:
            raise StaleEpoch

    def row(self, key: bytes) -> Row | None:
        self._check(key)
        return super().row(key)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        if any(t.epoch > self._epoch for t in self._map.within(start, end)):
            raise StaleEpoch
        return super().range(start, end, limit, reverse)

    def put(self, key: bytes, value: bytes) -> None:
        self._check(key)
        super().put(key, value)

    def delete(self, key: bytes) -> None:
        self._check(key)
        super().delete(key)
