"""Run the state machine over the simulated engine, one seed after another.

    python -m tests.simulation.run --seeds 0:1000
    python -m tests.simulation.run --seeds 42        the one that failed

Each seed: clients that add to counters and swap a register, retrying like an SDK; crashes at any
moment; log tails torn by sector; syncs that fail; a state file that comes back older than the log.
At the end: every acknowledged effect is there exactly once, the register's history is one line,
and a replay of the log in other groups reaches the same running hash and the same rows.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import time

from pileus.errors import AwsError
from pileus.state import keys
from pileus.state.replica import SqliteReplica
from tests.simulation.node import REGISTER, RULES, Node, counter_key
from tests.simulation.promises import check_replay, require

CLIENTS = 4
CALLS = 12
CRASHES_MAX = 4


class Run:
    """One seed's run and what its clients were told."""

    def __init__(self, seed: int, *, sync: bool = True) -> None:
        self.rng = random.Random(seed)
        self.node = Node(self.rng, sync=sync)
        self.added: dict[str, int] = {}
        self.acknowledged: list[bytes] = []
        self.swapped: list[tuple[bytes, bytes]] = []
        self.left = CLIENTS
        self.chain = b""

    async def go(self) -> None:
        await self.node.start()
        async with asyncio.TaskGroup() as group:
            for i in range(CLIENTS):
                group.create_task(self._client(i))
            group.create_task(self._faults())
        await self.node.crash()
        await self._check()
        self.chain = self.node.replica.chain
        self.node.replica.close()

    async def _client(self, number: int) -> None:
        known = b""
        for _ in range(CALLS):
            await self._turns(3)
            request = self.rng.randbytes(16)
            kind = self.rng.random()
            if kind < 0.6:
                name, by = f"c{self.rng.randrange(3)}", self.rng.randint(1, 9)
                await self.node.call("sim.add", [name, by], request)
                self.added[name] = self.added.get(name, 0) + by
                self.acknowledged.append(request)
                if self.rng.random() < 0.3:  # the SDK did not hear the answer
                    await self.node.call("sim.add", [name, by], request)
            elif kind < 0.9:
                known = await self._swap(number, known, request)
            else:
                await self.node.call("sim.last", 5, b"")
        self.left -= 1

    async def _swap(self, number: int, known: bytes, request: bytes) -> bytes:
        new = b"%d-" % number + request
        try:
            await self.node.call("sim.swap", [known, new], request)
        except AwsError as refused:
            return bytes(refused.fields["Value"])
        self.swapped.append((known, new))
        return new

    async def _faults(self) -> None:
        while self.left:
            await self._turns(40)
            if self.rng.random() < 0.3:
                self.node.save()
            elif self.node.crashes < CRASHES_MAX and self.rng.random() < 0.4:
                await self.node.crash()

    async def _turns(self, most: int) -> None:
        for _ in range(self.rng.randint(1, most)):
            await asyncio.sleep(0)

    # -- what must hold -------------------------------------------------------------------

    async def _check(self) -> None:
        replica = self.node.replica
        for name, total in self.added.items():
            row = replica.row(counter_key(name))
            require(row is not None and int(row.value) == total, f"counter {name} is not {total}")
        prefix = keys.partition_prefix("changes", "added")
        noted = [r.value for r in replica.range(prefix, keys.after_prefix(prefix), 10_000)]
        require(sorted(noted) == sorted(self.acknowledged), "an effect is lost or happened twice")
        self._check_register(replica)
        await check_replay(replica, RULES, self.node.log, lambda: self.rng.randint(1, 7))

    def _check_register(self, replica: SqliteReplica) -> None:
        following = dict(self.swapped)
        require(len(following) == len(self.swapped), "two swaps won against one value")
        value, steps = b"", 0
        while value in following:
            value, steps = following[value], steps + 1
        row = replica.row(REGISTER)
        require(steps == len(self.swapped), "a swap that won is not in the register's history")
        require((row.value if row else b"") == value, "the register lost its last value")


def run_seed(seed: int, *, sync: bool = True) -> Run:
    """One run, over. Raises ``Violation``."""
    run = Run(seed, sync=sync)
    asyncio.run(run.go())
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:1000", help="one seed, or first:end")
    first, _, end = parser.parse_args().seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    started, crashes, failed = time.monotonic(), 0, []
    for seed in seeds:
        try:
            crashes += run_seed(seed).node.crashes
        except Exception as e:
            failed.append(seed)
            print(f"seed {seed}: {type(e).__name__}: {e}", file=sys.stderr)
    spent = time.monotonic() - started
    print(f"{len(seeds)} seeds, {crashes} crashes, {len(failed)} failed, {spent:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
