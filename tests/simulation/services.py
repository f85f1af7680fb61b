"""Random DynamoDB and S3 operations with crashes between and within them, beside plain models.

    python -m tests.simulation.services --seeds 0:200                  engine `simulated`
    python -m tests.simulation.services --seeds 0:50 --engine embedded power cuts under SQLite
    python -m tests.simulation.services --seeds 0:50 --engine embedded --wal-pages 30  checkpoints,
    too
    python -m tests.simulation.services --seeds 0:50 --engine sharded  items in other shards

The real services run over the engine, without a door. Each caller owns its tables and bucket, so
its model is exact: what it was told must be true then, and all of it at the end, after one more
crash. A request that meets a crash is repeated with its retry id, as SDKs do: it has one effect.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import sys
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from pileus.state import wal
from tests.simulation import bucket_reads, table_reads
from tests.simulation.buckets import Buckets
from tests.simulation.machines import RULES, EmbeddedMachine, Machine, SimulatedMachine
from tests.simulation.promises import check_replay
from tests.simulation.sharded_machine import ShardedMachine
from tests.simulation.tables import Tables

STEPS = 40
LOOK_EVERY = 20
CALLERS = 2
CRASHES_MAX = 6


class Run:
    """One seed's run."""

    def __init__(self, seed: int, machine: Machine, steps: int = STEPS) -> None:
        self.rng = random.Random(f"{seed}/faults")
        self.machine = machine
        self.steps = steps
        self.tables = [
            Tables(machine, random.Random(f"{seed}/t{i}"), f"tab{i}") for i in range(CALLERS)
        ]
        self.buckets = [
            Buckets(machine, random.Random(f"{seed}/b{i}"), f"bucket-{i}") for i in range(CALLERS)
        ]
        self.left = 0

    async def go(self) -> None:
        await self.machine.start()
        callers: list[Any] = [*self.tables, *self.buckets]
        self.left = len(callers)
        async with asyncio.TaskGroup() as group:
            for caller in callers:
                group.create_task(self._caller(caller))
            group.create_task(self._faults())
        await self.machine.crash()
        for caller in callers:
            await _look(caller)
        await self._collect()
        if isinstance(self.machine, SimulatedMachine):
            await self._replay(self.machine)
        await self.machine.stop()

    async def _caller(self, caller: Any) -> None:
        await caller.begin()
        for number in range(self.steps):
            await caller.step()
            if number % LOOK_EVERY == LOOK_EVERY - 1:
                await _look(caller)
        self.left -= 1

    async def _faults(self) -> None:
        """Crashes of the simulated machine; the embedded one's are chosen by its disk."""
        while self.left:
            for _ in range(self.rng.randint(1, 300)):
                await asyncio.sleep(0)
            machine = self.machine
            if not isinstance(machine, EmbeddedMachine) and machine.crashes < CRASHES_MAX:
                await machine.crash()

    async def _collect(self) -> None:
        """The collector takes away what nobody names, and nothing else."""
        for _ in range(2):
            await self.machine.call(lambda desk, id: desk.collector.sweep())
        for bucket in self.buckets:
            await bucket_reads.check(bucket)

    async def _replay(self, machine: SimulatedMachine) -> None:
        store = machine.life.store
        await check_replay(store.replica, RULES, store.log, lambda: self.rng.randint(1, 9))


async def _look(caller: Any) -> None:
    """Compare all a caller can read with its model."""
    await (table_reads if isinstance(caller, Tables) else bucket_reads).check(caller)


def run_seed(seed: int, engine: str = "simulated", lies: str = "", steps: int = STEPS) -> Machine:
    """One run; raises ``Violation``. ``lies``: a sync taken out, to see that it is noticed."""
    shm = Path("/dev/shm")
    home = Path(tempfile.mkdtemp(prefix="pileus-sim-", dir=shm if shm.is_dir() else None))
    rng = random.Random(seed)

    async def main() -> Machine:
        machine: Machine
        if engine == "embedded":
            machine = EmbeddedMachine(rng, home, lies)
        elif engine == "sharded":
            machine = ShardedMachine(rng)
        else:
            machine = SimulatedMachine(rng, sync=not lies)
        try:
            await Run(seed, machine, steps).go()
        except BaseException:
            await machine.abandon()
            raise
        return machine

    try:
        return asyncio.run(main())
    finally:
        shutil.rmtree(home, ignore_errors=True)


def reason(error: BaseException) -> str:
    """The first cause: where, and what."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    way = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(frames))
    return f"{error!r}\n  at {way}"


def main() -> int:
    """Run seeds; print those that failed and how to repeat them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:200", help="one seed, or first:end")
    engines = ("simulated", "embedded", "sharded")
    parser.add_argument("--engine", choices=engines, default="simulated")
    parser.add_argument("--wal-pages", type=int, help="of embedded: checkpoints after so many")
    wish = parser.parse_args()
    wal.WAL_PAGES = wish.wal_pages or wal.WAL_PAGES
    first, _, end = wish.seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    started, crashes, failed = time.monotonic(), 0, []
    for seed in seeds:
        try:
            crashes += run_seed(seed, wish.engine).crashes
        except Exception as e:
            failed.append(seed)
            print(f"seed {seed}: {reason(e)}", file=sys.stderr)
            print(
                f"repeat: python -m tests.simulation.services --engine {wish.engine}"
                f" --seeds {seed}",
                file=sys.stderr,
            )
    spent = time.monotonic() - started
    print(
        f"{wish.engine}: {len(seeds)} seeds, {crashes} crashes, {len(failed)} failed, {spent:.1f} s"
    )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
