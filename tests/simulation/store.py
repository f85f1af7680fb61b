"""The store as services see it, over the simulated engine: one process, everything in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pileus.engine.embedded.generations import COUNTERS, row_slot, slot
from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.engine.simulated.log import SimulatedLog
from pileus.state.database import Rows
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.store import Store
from pileus.state.tablets import WHOLE, TabletMap


class Counters:
    """The generations of a process that shares them with nobody."""

    def __init__(self) -> None:
        self._counts = [0] * COUNTERS

    def get(self, table: str) -> int:
        return self._counts[slot(table.encode())]

    def counter(self, table: str) -> Callable[[], int]:
        return lambda: self.get(table)

    def at(self, place: int) -> int:
        return self._counts[place]

    def stamp(self, *tables: str) -> Callable[[], tuple[int, ...]]:
        return lambda: tuple(map(self.get, tables))

    def bump(self, slots: set[int]) -> None:
        for place in slots:
            self._counts[place] += 1

    def close(self) -> None:
        self._counts = []


class CountingReplica(SqliteReplica):
    """Tells which tables and rows a group touched, as the embedded log does after a commit."""

    def __init__(self, rules: Mapping[str, Rule], counters: Counters) -> None:
        self._counters = counters
        super().__init__(":memory:", rules, journal=False)

    def apply_group(self, first: int, entries: Sequence[bytes]) -> list[bytes]:
        verdicts = super().apply_group(first, entries)
        self._counters.bump({*map(slot, self.touched), *map(row_slot, self.written)})
        return verdicts


class SimulatedStore(Store):
    """``Store`` without processes and files. Reads see what was applied."""

    log: SimulatedLog  # type: ignore[assignment]

    def __init__(self, clock: SteppedClock, rules: Mapping[str, Rule]) -> None:
        self.home = Path("/nonexistent")
        self._clock = clock
        self._generations = Counters()  # type: ignore[assignment]
        self._tablets_now = self._generations.counter("tablets")
        self.stamp, self.at = self._generations.stamp, self._generations.at
        self._map, self._map_generation = TabletMap([WHOLE], 0), -1
        self.replica = CountingReplica(rules, self._generations)  # type: ignore[arg-type]
        self._reader = Rows(self.replica._c)
        self.get = self._reader.value

    async def begin(self, file: SimulatedFile, rng: random.Random, *, sync: bool = True) -> None:
        """Bring the state up to the end of the log in ``file``."""
        import asyncio

        self._contended = asyncio.Lock()
        self.log = SimulatedLog(file, rng, sync=sync)
        await self.log.start(self.replica)
