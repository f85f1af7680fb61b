"""Another node's copies of three shards' logs, each as late as chance has it.

    python -m tests.simulation.lagging --seeds 0:50

A history of ``shards`` (transactions, dead authors, moves of tablets, crashes) leaves three logs.
Here they are applied again, entry by entry, in an order that only the gate binds (``state/gate``).
After each entry a reader reads every list: a transaction is there in all its lists or in none, and
what was seen once stays. At the end nothing may be left that waits.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from pathlib import Path

from pileus.engine import LogEntry
from pileus.engine.simulated.log import scan
from pileus.state import tablets
from pileus.state.database import Rows
from pileus.state.gate import Gates
from pileus.state.shard import Shard
from pileus.state.sharded_reader import ShardedReader
from pileus.state.tablets import TabletMap
from tests.simulation.promises import Violation
from tests.simulation.shards import LISTS, RULES, SHARDS, Run, SharedCounters, place, values
from tests.simulation.store import CountingReplica

STEPS = 8


class ShortRun(Run):
    """A history, and the logs it leaves."""

    steps = STEPS

    @property
    def logs(self) -> list[list[LogEntry]]:
        return [scan(file.content)[0] for file in self.files]

    @property
    def wholes(self) -> list[list[tuple[str, str]]]:
        """What each transaction appends, of those that append several."""
        found = []
        for done in self.recorder.transactions:
            appended = [(s[1], s[2]) for s in done.steps if s[0] == "append"]
            if len(appended) > 1:
                found.append(appended)
        return found


class Follower:
    """The node. ``held`` counts how often an entry was not admitted."""

    def __init__(self, run: ShortRun, rng: random.Random) -> None:
        self._logs, self._wholes, self._rng = run.logs, run.wholes, rng
        self._gates = Gates()
        counters = SharedCounters()
        self._replicas = [CountingReplica(RULES, counters) for _ in range(SHARDS)]
        self._map, self._map_seen = TabletMap([tablets.WHOLE], 0), -1
        self._now = counters.counter("tablets")
        shards = [
            Shard(n, Path("/nonexistent"), None, Rows(r._c), run.clock, r, self._now)  # type: ignore[arg-type]
            for n, r in enumerate(self._replicas)
        ]
        self._first = shards[0].rows
        self._reader = ShardedReader(shards, self._where, counters)  # type: ignore[arg-type]
        self._seen: set[tuple[str, str]] = set()
        self.held = 0

    def _where(self) -> TabletMap:
        if self._now() != self._map_seen:
            self._map, self._map_seen = tablets.load(self._first), self._now()
        return self._map

    def go(self) -> None:
        if not self._replicas[0].applied:
            self._step(0)  # the first map of tablets: a node without it does not serve
        late = 0
        while any(map(self._left, range(SHARDS))):
            if self._rng.random() < 0.1:
                late = self._rng.randrange(SHARDS)
            ready = [n for n in range(SHARDS) if self._left(n) and self._admitted(n)]
            if not ready:
                raise Violation(f"all wait for each other: {self._gates.at}")
            quick = [n for n in ready if n != late] or ready
            number = self._rng.choice(quick if self._rng.random() < 0.9 else ready)
            self._step(number)
            self._look()

    def _left(self, number: int) -> int:
        return len(self._logs[number]) - self._replicas[number].applied

    def _admitted(self, number: int) -> bool:
        entry = self._logs[number][self._replicas[number].applied].data
        admitted = self._gates.admits(number, self._gates.of(number).needs([entry]), None)
        self.held += not admitted
        return admitted

    def _step(self, number: int) -> None:
        replica = self._replicas[number]
        sequence, data = self._logs[number][replica.applied]
        replica.apply_group(sequence, [data])
        self._gates.passed(number, replica.applied)

    def _look(self) -> None:
        texts = self._reader.values(map(place, LISTS))
        there = {(n, v) for n, text in zip(LISTS, texts, strict=True) for v in values(text)}
        for whole in self._wholes:
            if 0 < len(there.intersection(whole)) < len(whole):
                raise Violation(f"half of {whole} is there")
        if not self._seen <= there:
            raise Violation(f"gone again: {sorted(self._seen - there)}")
        self._seen = there


def follow_seed(seed: int, times: int = 2) -> int:
    """Answers how often an entry had to wait."""
    run = ShortRun(seed)
    asyncio.run(run.go())
    held = 0
    for time in range(times):
        follower = Follower(run, random.Random(f"{seed}/{time}/lagging"))
        follower.go()
        held += follower.held
    return held


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:50")
    first, _, last = parser.parse_args().seeds.partition(":")
    for seed in range(int(first), int(last or int(first) + 1)):
        try:
            print(seed, follow_seed(seed))
        except Violation as wrong:
            print(f"seed {seed}: {wrong}")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
