"""Concurrent callers of the simulated machine, with crashes, recorded and checked (S5, T5).

    python -m tests.simulation.histories --seeds 0:100

The callers share their keys, as ``lab.history``'s clients of a real cloud do. Some are clients that
retry (a crash is bridged under the same retry id), some ask once: then an answer is lost in a
crash, and the effect may or may not be there.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from lab.history import linearizable, serializable
from lab.history.asking import Refused
from lab.history.lists import ListPlan, Lists
from lab.history.records import AnswerLost, Recorder
from lab.history.registers import Items, RegisterPlan
from lab.tables import keyed
from pileus.errors import AwsError, Unavailable
from tests.simulation.machines import SimulatedMachine
from tests.simulation.promises import Violation

TABLE = "histories"
CALLERS, STEPS, CRASHES_MAX = 3, 40, 6


class Run:
    """One seed's history."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(f"{seed}/histories")
        self.machine = SimulatedMachine(self.rng)
        self._now = 0
        self.recorder = Recorder(self._tick)
        self.left = 0

    def _tick(self) -> int:
        self._now += 1
        return self._now

    async def go(self) -> None:
        await self.machine.start()
        await self.machine.call(lambda desk, id: desk.table("CreateTable", id, **definition()))
        keys, counters = ("r0", "r1", "r2"), ("n0",)
        lists = tuple(f"l{i}" for i in range(4))
        work: list[Callable[[], Awaitable[None]]] = []
        for number in range(CALLERS):
            for patient in (True, False):
                name = f"{number}{patient}"
                plan = RegisterPlan(f"r{name}", self._chance(), keys, counters)
                calling = ListPlan(f"l{name}", self._chance(), lists)
                work.append(lambda plan=plan, patient=patient: self._register(plan, patient))
                work.append(lambda plan=calling, patient=patient: self._list(plan, patient))
        self.left = len(work)
        async with asyncio.TaskGroup() as group:
            for step in work:
                group.create_task(self._caller(step))
            group.create_task(self._faults())
        await self.machine.stop()

    def _chance(self) -> random.Random:
        return random.Random(self.rng.randrange(2**60))

    async def _caller(self, step: Callable[[], Awaitable[None]]) -> None:
        for _ in range(STEPS):
            await step()
        self.left -= 1

    async def _faults(self) -> None:
        while self.left:
            for _ in range(self.rng.randint(1, 150)):
                await asyncio.sleep(0)
            if self.machine.crashes < CRASHES_MAX:
                await self.machine.crash()

    async def _ask(self, operation: str, params: dict[str, Any], patient: bool) -> Any:
        """The answer; ``AnswerLost`` where a single try met a crash."""
        await asyncio.sleep(0)
        life = self.machine.life
        try:
            if patient:
                return await self.machine.call(lambda desk, id: desk.table(operation, id, **params))
            answer = await life.desk.table(operation, self.rng.randbytes(16), **params)
        except AwsError as error:
            if life.dead() and not patient:
                raise AnswerLost from error
            raise Refused(error.code, error.fields.get("Item")) from error
        except Unavailable as error:
            raise AnswerLost from error
        except Exception as error:
            if not life.dead():
                raise
            raise AnswerLost from error
        if life.dead():
            raise AnswerLost
        return answer

    async def _register(self, plan: RegisterPlan, patient: bool) -> None:
        store, (kind, key, given) = Items(TABLE), plan.next()
        began = self.recorder.clock()
        told: tuple[Any, ...] | None
        try:
            told = store.told(
                kind, given, await self._ask(*store.request(kind, key, given), patient)
            )
        except Refused as verdict:
            told = store.refused(kind, verdict)
        except AnswerLost:
            told = None
        self.recorder.note_operation(plan.process, key, kind, given, began, told)
        if told is not None:
            plan.note(kind, key, given, told)

    async def _list(self, plan: ListPlan, patient: bool) -> None:
        store, (kind, steps) = Lists(TABLE), plan.next()
        began = self.recorder.clock()
        outcome, done = "aborted", None
        try:
            done = store.done(kind, steps, await self._ask(*store.request(kind, steps), patient))
            outcome = "committed"
        except Refused as verdict:
            store.refused(kind, verdict)
        except AnswerLost:
            outcome = "unknown"
        self.recorder.note_transaction(plan.process, done or steps, began, outcome)
        plan.note(done)


def definition() -> dict[str, Any]:
    return {
        "TableName": TABLE,
        **keyed(PK="S"),
    }


def run_seed(seed: int) -> Run:
    """One run; raises ``Violation`` where no order explains its history."""
    run = Run(seed)
    asyncio.run(run.go())
    wrong = [*map(str, linearizable.check(run.recorder.operations))]
    wrong += map(str, serializable.check(run.recorder.transactions))
    if wrong:
        raise Violation("\n".join(wrong))
    return run


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", default="0:100", help="one seed, or first:end")
    first, _, end = parser.parse_args().seeds.partition(":")
    seeds = range(int(first), int(end) if end else int(first) + 1)
    failed, crashes = 0, 0
    for seed in seeds:
        try:
            crashes += run_seed(seed).machine.crashes
        except Violation as wrong:
            failed += 1
            print(f"seed {seed}: {wrong}", file=sys.stderr)
            print(f"repeat: python -m tests.simulation.histories --seeds {seed}", file=sys.stderr)
    print(f"histories: {len(seeds)} seeds, {crashes} crashes, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
