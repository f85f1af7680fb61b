"""What a change touches, before it is anywhere: rows read, ranges seen, writes, and so the shards.

A rule that may touch several shards is first run here on committed rows (``Trial``), with the face
it has in ``apply``. If all it touched lies in one shard, its entry goes there and the verdict is
reached in log order as ever; only else what it did here is what is committed.
"""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from pileus.state.locks import Held
from pileus.state.owned import BESIDE, LOCAL
from pileus.state.rules import range_digest
from pileus.state.tablets import TabletMap
from pileus.state.tx import Row, Tx, change_key, ordered_key


class Segment(NamedTuple):
    """A part of a range, within one tablet, as it was read."""

    start: bytes
    end: bytes
    limit: int
    reverse: bool
    rows: list[Row]


class Routed(Protocol):
    """Committed rows of all shards."""

    def committed(self, key: bytes) -> Row | None: ...
    def segments(self, start: bytes, end: bytes, limit: int, reverse: bool) -> list[Segment]: ...
    def unplaced(self) -> tuple[bytes, ...]:
        """What keys start with that no tablet leads to."""
        ...

    def holding(self, key: bytes) -> list[int]:
        """The shards that have a row of this key, of a table that lies beside its writers."""
        ...


class Recorder:
    """A ``Reader`` that remembers what it was asked and what it answered."""

    def __init__(self, rows: Routed) -> None:
        self._rows = rows
        self.first: bytes | None = None
        self.highest = 0  # version of what was read, of rows that lie in one shard
        self.reads: dict[bytes, int] = {}
        self.ranges: list[list[Any]] = []

    def touch(self, key: bytes) -> None:
        """``key`` is (to be) written: the first key touched that has a place says where the change
        has its home."""
        if self.first is None and not key.startswith(self._rows.unplaced()):
            self.first = key

    def row(self, key: bytes) -> Row | None:
        self.touch(key)
        row = self._rows.committed(key)
        self.reads.setdefault(key, row.version if row else 0)
        if row is not None:
            self._met(row)
        return row

    def _met(self, row: Row) -> None:
        if row.version > self.highest and not row.key.startswith(self._rows.unplaced()):
            self.highest = row.version

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        self.touch(start)
        found: list[Row] = []
        for s in self._rows.segments(start, end, limit, reverse):
            self.ranges.append([s.start, s.end, s.limit, s.reverse, range_digest(s.rows)])
            found += s.rows
            for row in s.rows:
                self._met(row)
        return found

    def holding(self, key: bytes) -> list[int]:
        return self._rows.holding(key)


class Footprint:
    """All that a change read and wants to write; ``home`` is where its request is remembered.

    What all shards share is read at home, and written in all of them. What lies beside its writers
    is written where the first of the other rows is, and deleted where it is."""

    def __init__(
        self,
        seen: Recorder,
        writes: dict[bytes, bytes | None],
        changes: list[Any],
        ordered: list[Any] | None = None,
    ) -> None:
        self.seen = seen
        self.writes = writes
        self.changes = changes
        self.ordered = ordered or []

    def shards(self, where: TabletMap) -> list[int]:
        """The shards it touches, its home first."""
        touched = [*self.seen.reads, *self.writes, *(r[0] for r in self.seen.ranges)]
        touched += [change_key(topic, 0) for topic, _ in self.changes]
        touched += [ordered_key(row[0], row[1], 0) for row in self.ordered]
        found = {shard_of(where, k) for k in touched if not k.startswith(where.unplaced)}
        first = self.seen.first
        home = shard_of(where, first) if first is not None else min(found, default=0)
        if any(k.startswith(where.shared) for k in self.writes):
            found = set(range(where.count))
        if found - {home}:
            for key in self._left_beside():
                found |= set(self.seen.holding(key))
        return [home, *sorted(found - {home})]

    def _left_beside(self) -> list[bytes]:
        return [k for k, v in self.writes.items() if v is None and k.startswith(BESIDE)]

    def part(self, where: TabletMap, shard: int, shards: list[int]) -> dict[str, Any]:
        """What ``shard`` is to check and to hold, as ``txn.prepare`` takes it; ``shards``: all that
        take part."""
        home = shards[0]
        placed = (k for k in self.writes if not k.startswith(where.unplaced))
        first = next(placed, None)
        beside = home if first is None else shard_of(where, first)

        def here(key: bytes) -> bool:
            apart = key.startswith(where.unplaced)
            return (home if apart else shard_of(where, key)) == shard

        def written(key: bytes, value: bytes | None) -> bool:
            if key.startswith(BESIDE):
                found = self.seen.holding(key) if value is None else []
                return shard in (found or [beside])
            return key.startswith(where.shared) or here(key)

        return {
            "reads": [[k, v] for k, v in self.seen.reads.items() if here(k)],
            "ranges": [r for r in self.seen.ranges if here(r[0])],
            "writes": [[k, v] for k, v in self.writes.items() if written(k, v)],
            "changes": [[t, p] for t, p in self.changes if here(change_key(t, 0))],
            "ordered": [r for r in self.ordered if here(ordered_key(r[0], r[1], 0))],
        }

    def meets(self, held: Held) -> bool:
        """Whether a transaction that is under way is in its way."""
        theirs = {k for k, _ in held.writes}
        if theirs & (self.seen.reads.keys() | self.writes.keys()):
            return True
        if self.writes.keys() & set(held.reads):
            return True
        if any(s <= k < e for s, e in held.ranges for k in self.writes):
            return True
        return any(r[0] <= k < r[1] for r in self.seen.ranges for k in theirs)


def shard_of(where: TabletMap, key: bytes) -> int:
    return 0 if key.startswith(LOCAL) else where.locate(key).shard


class Trial(Tx):
    """A rule's view of committed rows: nothing it writes goes anywhere. ``placed``: whether it
    asked for its place in the log, which several shards do not share."""

    def __init__(self, seen: Recorder, sequence: int, now_ms: int, request_id: bytes) -> None:
        self.placed = False
        super().__init__(seen, sequence, now_ms, request_id)
        self.changes: list[tuple[str, bytes]] = []
        self.ordered: dict[tuple[str, bytes, bytes], bytes] = {}
        self._seen = seen

    @property
    def sequence(self) -> int:
        self.placed = True
        return self._sequence

    @sequence.setter
    def sequence(self, sequence: int) -> None:  # type: ignore[override]
        self._sequence = sequence

    def row(self, key: bytes) -> Row | None:
        if key in self.writes:
            value = self.writes[key]
            return None if value is None else Row(key, value, self._sequence)
        return self._reader.row(key)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        placed = self.placed
        rows = super().range(start, end, limit, reverse)
        self.placed = placed
        return rows

    def put(self, key: bytes, value: bytes) -> None:
        self._seen.touch(key)
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        self._seen.touch(key)
        self.writes[key] = None

    def change(self, topic: str, payload: bytes) -> None:
        self._seen.touch(change_key(topic, 0))
        self.changes.append((topic, payload))

    def put_in_order(self, table: str, partition: bytes, suffix: bytes, value: bytes) -> None:
        self._seen.touch(ordered_key(table, partition, 0))
        self.ordered.setdefault((table, partition, suffix), value)

    def footprint(self) -> Footprint:
        ordered = [[*where, value] for where, value in self.ordered.items()]
        return Footprint(self._seen, self.writes, self.changes, ordered)
