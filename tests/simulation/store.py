"""The store as services see it, over the simulated engine: one process, everything in memory."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pileus.engine.embedded.generations import SLOTS, slot
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
        self._counts = [0] * SLOTS

    def get(self, table: str) -> int:
        return self._counts[slot(table.encode())]

    def counter(self, table: str) -> Callable[[], int]:
        return lambda: self.get(table)

    def bump(self, tables: set[bytes]) -> None:
        for table in tables:
            self._counts[slot(table)] += 1

    def close(self) -> None:
        self._counts = []


class CountingReplica(SqliteReplica):
    """Tells which tables a group touched, as the embedded log does after a commit."""

    def __init__(self, rules: Mapping[str, Rule], counters: Counters) -> None:
        self._counters = counters
        super().__init__(":memory:", rules, journal=False)

    def apply_group(self, first: int, entries: Sequence[bytes]) -> list[bytes]:
        verdicts = super().apply_group(first, entries)
        self._counters.bump(self.touched)
        return verdicts


class SimulatedStore(Store):
    """``Store`` without processes and files. Reads see what was applied."""

    log: SimulatedLog  # type: ignore[assignment]

    def __init__(self, clock: SteppedClock, rules: Mapping[str, Rule]) -> None:
        self.home = Path("/nonexistent")
        self._clock = clock
        self._generations = Counters()  # type: ignore[assignment]
        self._tablets_now = self._generations.counter("tablets")
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
