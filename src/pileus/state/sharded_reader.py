"""Committed rows of all shards, each key's from the shard its tablet lies in.

What is read is looked at twice: the map of tablets and the list of decided transactions must be the
same after a read as before it, or it is read again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from pileus.engine.embedded.generations import Generations
from pileus.errors import Unavailable
from pileus.state import keys, owned
from pileus.state.footprint import Recorder, Segment, shard_of
from pileus.state.overlay import Overlay
from pileus.state.shard import Shard
from pileus.state.tablets import TabletMap
from pileus.state.tx import Row

MOMENTS_MAX = 1000


class ShardedReader:
    """``where()``: the map, as new as its last change here."""

    def __init__(
        self, shards: Sequence[Shard], where: Callable[[], TabletMap], generations: Generations
    ) -> None:
        self._shards = shards
        self._where = where
        self._commits = generations.commits
        self._txn_now = generations.counter("txn")
        self._overlay = Overlay(shards, self._txn_now)

    def unplaced(self) -> tuple[bytes, ...]:
        return self._where().unplaced

    def holding(self, key: bytes) -> list[int]:
        return [s.number for s in self._shards if s.rows.value(key) is not None]

    def _beside(self, key: bytes) -> Row | None:
        found = [row for shard in self._shards if (row := shard.rows.row(key)) is not None]
        return found[0] if found else None

    def committed(self, key: bytes) -> Row | None:
        """The row as its shard has it, whatever is decided and not finished."""
        if key.startswith(owned.BESIDE):
            return self._beside(key)
        while True:
            where = self._where()
            found = self._shards[shard_of(where, key)].rows.row(key)
            if self._where() is where:
                return found

    def row(self, key: bytes) -> Row | None:
        while True:
            over = self._overlay.rows()
            found = over[key] if key in over else self.committed(key)
            if not self._overlay.moved() and not self._overlay.doubted(key.__eq__):
                return found

    def value(self, key: bytes) -> bytes | None:
        while True:
            over = self._overlay.rows()
            if key in over or key.startswith(owned.BESIDE):
                row = over[key] if key in over else self._beside(key)
                found = None if row is None else row.value
            else:
                where = self._where()
                found = self._shards[shard_of(where, key)].rows.value(key)
                if self._where() is not where:
                    continue
            if not self._overlay.moved() and not self._overlay.doubted(key.__eq__):
                return found

    def values(self, keys: Iterable[bytes]) -> list[bytes | None]:
        wanted = list(keys)
        for _ in range(MOMENTS_MAX):
            before = self.moment()
            found = [self.value(key) for key in wanted]
            doubted = self._overlay.doubted(wanted.__contains__)
            if self.moment() == before and not doubted:
                return found
        raise Unavailable("these rows change all the time", "try again")

    def segments(self, start: bytes, end: bytes, limit: int, reverse: bool) -> list[Segment]:
        """A range as its tablets have it, one part for each that was looked at."""
        while True:
            where = self._where()
            found = list(self._segments(where, start, end, limit, reverse))
            if self._where() is where:
                return found

    def _segments(
        self, where: TabletMap, start: bytes, end: bytes, limit: int, reverse: bool
    ) -> Iterator[Segment]:
        if start.startswith((*owned.LOCAL, *where.shared)):
            rows = self._shards[0].rows.range(start, end, limit, reverse)
            yield Segment(start, end, limit, reverse, rows)
            return
        if start.startswith(owned.BESIDE):
            every = {
                r.key: r for s in self._shards for r in s.rows.range(start, end, limit, reverse)
            }
            rows = sorted(every.values(), key=lambda r: r.key, reverse=reverse)[:limit]
            yield Segment(start, end, limit, reverse, rows)
            return
        within = where.within(start, end)
        for tablet in reversed(within) if reverse else within:
            low, high = max(start, tablet.start), min(end, tablet.end or end)
            rows = self._shards[tablet.shard].rows.range(low, high, limit, reverse)
            yield Segment(low, high, limit, reverse, rows)
            limit -= len(rows)
            if limit <= 0:
                return

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        while True:
            over = self._overlay.rows()
            mine = {k: row for k, row in over.items() if start <= k < end} if over else {}
            parts = self.segments(start, end, limit + len(mine), reverse)
            if self._overlay.moved() or self._overlay.doubted(lambda k: start <= k < end):
                continue
            rows = [row for part in parts for row in part.rows if row.key not in mine]
            if mine:
                rows += [row for row in mine.values() if row is not None]
                rows.sort(key=lambda r: r.key, reverse=reverse)
            return rows[:limit]

    def pairs(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        return [(r.key, r.value) for r in self.range(start, end, limit, reverse)]

    def contents(self, start: bytes, end: bytes, limit: int, reverse: bool) -> list[bytes]:
        return [r.value for r in self.range(start, end, limit, reverse)]

    def shards_of(self, spans: Sequence[tuple[bytes, bytes]]) -> set[int]:
        """The shards that keys of start <= key < end lie in, for each of ``spans``."""
        where, beside = self._where(), owned.BESIDE
        if any(start < keys.after_prefix(beside) and beside < end for start, end in spans):
            return set(range(len(self._shards)))
        return {t.shard for start, end in spans for t in where.within(start, end)}

    def deciding(self, shards: Iterable[int]) -> set[int]:
        """The shards that decide what is held in ``shards`` and is not decided as far as is known
        here."""
        found: set[int] = set()
        return found.union(*(self._overlay.deciding(shard) for shard in shards))

    def moment(self) -> tuple[int, int, int]:
        """What stays the same while nothing is committed in any shard, or seen to be decided."""
        return self._commits(), self._txn_now(), self._overlay.loads

    def unsettled(self, seen: Recorder) -> bool:
        """Whether a committed transaction has yet to write what was read."""

        def read(key: bytes) -> bool:
            return key in seen.reads or any(r[0] <= key < r[1] for r in seen.ranges)

        return any(map(read, self._overlay.rows())) or self._overlay.doubted(read)
