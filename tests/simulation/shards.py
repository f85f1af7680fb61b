"""Transactions across shards on the simulated engine: crashes of the node, authors that die.

    python -m tests.simulation.shards --seeds 0:200

Callers append to lists that lie in different shards and read them, in transactions and by rules.
Some die in the middle: between any two steps of the protocol. The history must have one order that
explains every list; at the end nothing is held and a replay gives the same rows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lab.history import serializable
from lab.history.records import Recorder
from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.engine.simulated.log import SimulatedLog
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import keys, sharding
from pileus.state.database import Rows
from pileus.state.draft import Draft
from pileus.state.placing import Layout
from pileus.state.rules import Rule
from pileus.state.shard import Shard
from pileus.state.sharded import ShardedStore
from pileus.state.sharded_opening import NO_WISHES
from pileus.state.tablets import WHOLE, TabletMap
from pileus.state.tx import Tx
from pileus.state.versions import RuleBook
from tests.simulation.promises import Violation
from tests.simulation.store import Counters, CountingReplica

SHARDS = 3
LAYOUT = [(b"", 0), (b"e\x00", 0), (b"f\x00", 1), (b"g\x00", 2), (b"h\x00", 0)]
LISTS = tuple(f"{table}{n}" for table in "efg" for n in range(2))
CALLERS, STEPS, CRASHES_MAX = 5, 18, 3
LOCK_S = 2.0


def place(name: str) -> bytes:
    return keys.key(name[0], "lists", name[1:])


# Where tablets may be cut: between tables, and between two rows of one.
CUTS = [b"e\x00", b"f\x00", b"g\x00", b"h\x00", *(place(f"{t}1") for t in "efg")]


class SharedCounters(Counters):
    """Generations of a process alone, with the commit counter."""

    def __init__(self) -> None:
        super().__init__()
        self._commits = 0

    def commits(self) -> int:
        return self._commits

    def bump(self, slots: set[int]) -> None:
        self._commits += 1
        super().bump(slots)


class SimulatedShards(ShardedStore):
    """``ShardedStore`` without processes and files, from one start to the next crash."""

    def __init__(
        self,
        files: list[SimulatedFile],
        clock: SteppedClock,
        rules: Mapping[str, Rule],
        layout: Layout = LAYOUT,
    ) -> None:
        self.home = Path("/nonexistent")
        self._clock = clock
        self._generations = SharedCounters()  # type: ignore[assignment]
        self._tablets_now = self._generations.counter("tablets")
        self.stamp = lambda *tables: self._generations.stamp(*tables, "txn", "tablets")
        self.at = self._generations.at
        self._map, self._map_generation = TabletMap([WHOLE], 0), -1
        self._count, self._layout, self._lock_s = SHARDS, layout, LOCK_S
        self.placing = NO_WISHES
        self._book = RuleBook(rules)
        self._rules_now, self._rules_version = {}, -1
        self._under_way = set()
        self._contended = asyncio.Lock()
        self._files = files
        self._parts = [CountingReplica(rules, self._generations) for _ in files]  # type: ignore[arg-type]

    async def begin(self, rng: random.Random) -> None:
        """Bring every shard to the end of its log."""
        shards = []
        for number, (file, replica) in enumerate(zip(self._files, self._parts, strict=True)):
            log = SimulatedLog(file, rng)
            await log.start(replica)
            rows = Rows(replica._c)
            shards.append(
                Shard(number, self.home, log, rows, self._clock, replica, self._tablets_now)
            )  # type: ignore[arg-type]
        self._reader = shards[0].rows  # type: ignore[assignment]
        self._share(shards)
        wanted = {"shards": SHARDS, "tablets": [list(t) for t in self._layout]}
        while True:
            try:
                await shards[0].ask("tablet.layout", wanted)
                for shard in shards[1:]:
                    await self._found(shard)
                return
            except Unavailable:  # a sync that failed
                await asyncio.sleep(0)

    def crash(self) -> None:
        for shard in self.shards:
            shard.log.crash()  # type: ignore[union-attr]


def values(text: bytes | None) -> tuple[str, ...]:
    return tuple((text or b"").decode().split())


def change(view: Draft | Tx, steps: list[list[str]]) -> list[list[str]]:
    """``[[list, value to append or ""], …]``: what each list held before."""
    seen: dict[str, tuple[str, ...]] = {}
    told = []
    for name, value in steps:
        if name not in seen:
            seen[name] = values(view.get(place(name)))
        told.append(list(seen[name]))
        if value:
            now = values(view.get(place(name)))
            view.put(place(name), " ".join((*now, value)).encode())
    return told


RULES: dict[str, Rule] = {"lists.change": change}


class Run:
    """One seed's history."""

    steps = STEPS  # of each caller

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"{seed}/shards")
        self.clock = SteppedClock(self.rng)
        self.files = [SimulatedFile(self.rng, sync_failure=0.01) for _ in range(SHARDS)]
        self._now = self._value = 0
        self.recorder = Recorder(self._tick)
        self.crashes = self.deaths = self.moves = self.left = 0
        self._killers: list[asyncio.Task[None]] = []

    def _tick(self) -> int:
        self._now += 1
        return self._now

    async def _start(self) -> None:
        self.store = SimulatedShards(self.files, self.clock, RULES)
        await self.store.begin(self.rng)

    async def go(self) -> None:
        await self._start()
        self.left = CALLERS
        async with asyncio.TaskGroup() as group:
            for number in range(CALLERS):
                group.create_task(self._caller(number))
            group.create_task(self._faults())
            group.create_task(self._movers())
        await self._crash()
        await self._settle()
        found = serializable.check(self.recorder.transactions)
        if found:
            raise Violation("\n".join(map(str, found)))

    # -- callers -----------------------------------------------------------------------------

    async def _caller(self, number: int) -> None:
        for _ in range(self.steps):
            await asyncio.sleep(0)
            await self._one(f"p{number}")
        self.left -= 1

    async def _one(self, process: str) -> None:
        began, store = self._tick(), self.store
        steps = self._steps()
        task = asyncio.ensure_future(self._ask(store, steps))
        if self.rng.random() < 0.25:
            self._killers.append(asyncio.ensure_future(self._kill(task)))
        outcome, told = "unknown", None
        try:
            told = await asyncio.wait_for(task, None)
            outcome = "committed" if store is self.store else "unknown"
        except asyncio.CancelledError:
            self.deaths += 1
        except Unavailable:
            outcome = "unknown"
        known = told if told is not None and outcome == "committed" else [[]] * len(steps)
        done = []
        for (name, value), held in zip(steps, known, strict=True):
            done.append(("append", name, value) if value else ("read", name, tuple(held)))
        self.recorder.note_transaction(process, tuple(done), began, outcome)

    def _steps(self) -> list[list[str]]:
        names = self.rng.sample(LISTS, self.rng.randint(1, 3))
        steps = []
        for name in names:
            self._value += 1
            steps.append([name, str(self._value) if self.rng.random() < 0.5 else ""])
        return steps

    async def _ask(self, store: SimulatedShards, steps: list[list[str]]) -> list[list[str]]:
        request = self.rng.randbytes(16)
        if all(not value for _, value in steps):
            found = store.values(place(name) for name, _ in steps)
            return [list(values(v)) for v in found]
        by_rule = self.rng.random() < 0.5
        for again in (True, False):  # as an SDK does: one repeat under the same id
            try:
                if by_rule:
                    return list(await store.submit("lists.change", steps, request))
                return list(await store.transact(lambda d: change(d, steps), request))
            except Unavailable:
                if not again or store is not self.store:
                    raise
        raise AssertionError

    async def _kill(self, task: asyncio.Future[Any], turns_max: int = 40) -> None:
        """The author dies: nobody carries on with what it began."""
        for _ in range(self.rng.randint(1, turns_max)):
            await asyncio.sleep(0)
        task.cancel()

    async def _faults(self) -> None:
        while self.left:
            for _ in range(self.rng.randint(50, 400)):
                await asyncio.sleep(0)
            if self.crashes < CRASHES_MAX and self.left:
                await self._crash()

    async def _crash(self) -> None:
        self.crashes += 1
        self.store.crash()
        await asyncio.sleep(0)
        self.clock.step(self.rng.randint(1, 2000))
        await self._start()

    async def _movers(self) -> None:
        """Tablets are cut and sent about; who does it dies half-way, and another goes on."""
        while self.left:
            store = self.store
            start, end = sorted(self.rng.sample(CUTS, 2))
            target = self.rng.randrange(SHARDS)
            plan = self.rng.random() < 0.6
            work = store.mover.assign(start, end, target) if plan else store.mover.advance()
            task: asyncio.Future[Any] = asyncio.ensure_future(work)
            if self.rng.random() < 0.5:
                self._killers.append(asyncio.ensure_future(self._kill(task, 200)))
            try:
                await asyncio.wait_for(task, None)
                self.moves += 1
            except asyncio.CancelledError:
                self.deaths += 1
            except (Unavailable, AwsError, Conflict):
                await asyncio.sleep(0)  # crashed, planned already, or another mover was faster

    # -- the end -----------------------------------------------------------------------------

    async def _settle(self) -> None:
        """Whatever dead authors left is ended; then every list is read once more."""
        store = self.store
        for _ in range(100):
            self.clock.step(1000)
            try:
                await store.crossing.sweep()
                await store.mover.advance()
            except Unavailable:
                continue
            if not self._left_over():
                break
        if self._left_over():
            raise Violation("transactions or moves are never ended")
        self._only_where_owned()
        began = self._tick()
        found = store.values(map(place, LISTS))
        steps = tuple(("read", n, values(v)) for n, v in zip(LISTS, found, strict=True))
        self.recorder.note_transaction("end", steps, began, "committed")
        for file, shard in zip(self.files, store.shards, strict=True):
            fresh = CountingReplica(RULES, SharedCounters())
            await SimulatedLog(file, self.rng).start(fresh)
            assert shard.replica is not None
            if fresh.chain != shard.replica.chain:
                raise Violation(f"a replay of shard {shard.number} differs")
            fresh.close()

    def _left_over(self) -> bool:
        tables = (b"txn\x00", b"moves\x00")
        rows = (s.rows.range(t, keys.after_prefix(t), 1) for s in self.store.shards for t in tables)
        return any(rows) or bool(self.store.mover.plans)

    def _only_where_owned(self) -> None:
        for shard in self.store.shards:
            view = sharding.load(shard.rows)
            assert view is not None
            for row in shard.rows.range(b"e", b"h", 1000):
                if self.store.tablets.locate(row.key).shard != shard.number:
                    raise Violation(f"shard {shard.number} holds {row.key!r}, which is not its own")
                view.serving(row.key)


def run_seed(seed: int) -> Run:
    run = Run(seed)
    asyncio.run(run.go())
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", default="0:100")
    first, _, last = parser.parse_args().seeds.partition(":")
    for seed in range(int(first), int(last or int(first) + 1)):
        try:
            run = run_seed(seed)
        except Exception as error:
            traceback.print_exception(error)
            print(f"seed {seed}")
            return 1
        outcomes = [t.outcome for t in run.recorder.transactions]
        told = {o: outcomes.count(o) for o in sorted(set(outcomes))}
        print(seed, run.crashes, run.deaths, run.moves, told)
    return 0


if __name__ == "__main__":
    sys.exit(main())
