"""Concurrent clients on an endpoint, recorded: registers, counters, objects, transactions.

    AWS_ENDPOINT_URL=… python -m lab.history.load --seconds 10 --out history.jsonl

makes a table and a bucket of its own, runs, checks and keeps the history. Some clients retry as
SDKs do (an operation is then all its tries together), some never.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from lab.history.asking import Refused, ask, patiently
from lab.history.cells import CellClient, Cells
from lab.history.check import anomalies
from lab.history.lists import ListPlan, Lists, Steps
from lab.history.names import Names
from lab.history.records import Recorder
from lab.history.registers import Items, Objects, RegisterPlan
from lab.tables import keyed
from lab.threads import Threads

TRIES = (1, 6)
PAUSE_S = 0.2  # after an answer that was lost: each one makes the search for an order longer
PAUSE_GROWS_MAX = 4  # doublings, of answers lost in a row
PATIENT = Config(
    retries={"total_max_attempts": 4, "mode": "standard"}, connect_timeout=5, read_timeout=30
)
Maker = Callable[[str, Config], Any]  # (service, settings) -> boto3 client


def settings(tries: int) -> Config:
    """``tries`` in all; an answer is waited for no longer than 3 s."""
    retries: Any = {"total_max_attempts": tries, "mode": "standard"}
    return Config(retries=retries, connect_timeout=2, read_timeout=3)


def prepare(make: Maker, names: Names) -> None:
    """The tables and the buckets; wide tables are there when they are written to."""
    for name in names.tables:
        make("dynamodb", PATIENT).create_table(
            TableName=name,
            **keyed(PK="S"),
        )
        make("dynamodb", PATIENT).get_waiter("table_exists").wait(TableName=name)
        make("s3", PATIENT).create_bucket(Bucket=name)


class Load(Threads):
    """Clients in threads, on keys of this load's own: ``each`` of every kind, by the first of
    ``makers``, the second (of another node, perhaps) and so on. ``cells`` make clients of the wide
    table. ``pace_s``: what a client waits between two requests; ``pause_s``: after an answer that
    was lost, and twice as long after each that follows. ``rows``: how many registers; half as many
    counters. ``failures``: what a client died of, which is a finding too."""

    def __init__(
        self,
        makers: Sequence[Maker],
        names: Names,
        seed: int,
        each: int = 2,
        cells: Sequence[Callable[[], CellClient]] = (),
        pace_s: float = 0.0,
        pause_s: float = PAUSE_S,
        rows: int = 4,
    ) -> None:
        self.recorder = Recorder()
        self._pace_s, self._pause_s = pace_s, pause_s
        self._names = names.tables
        self.failures: list[BaseException] = []
        steps: list[Callable[[], bool]] = []
        rng = random.Random(seed)
        run = f"{seed}-{rng.randrange(10**9)}"
        self._keys = tuple(f"{run}/r{i}" for i in range(rows))
        self._counters = tuple(f"{run}/n{i}" for i in range(rows // 2))
        self._lists = tuple(f"{run}/l{i}" for i in range(6))
        for number in range(each):
            tries = TRIES[number % len(TRIES)]
            make = makers[number % len(makers)]
            clients = {s: make(s, settings(tries)) for s in ("dynamodb", "s3")}
            if cells:
                clients["cells"] = cells[number % len(cells)]()
            steps += self._callers(number, clients, tries, rng)
        super().__init__(partial(self._run, step) for step in steps)

    def _callers(
        self, number: int, clients: dict[str, Any], tries: int, rng: random.Random
    ) -> list[Callable[[], bool]]:
        """Callers: two of registers in items, two of lists, one of objects, perhaps one of
        cells."""

        def chance() -> random.Random:
            return random.Random(rng.randrange(2**60))

        names = self._names
        made: list[Callable[[], bool]] = []
        plans = [RegisterPlan(f"i{k}{number}", chance(), self._keys, self._counters) for k in "ab"]
        for plan in plans:
            made.append(partial(self._register, clients, tries, Items(*names), plan))
        for kind in "ab":
            calling = ListPlan(f"t{kind}{number}", chance(), self._lists)
            made.append(partial(self._list, clients, tries, Lists(*names), calling))
        plan = RegisterPlan(f"o{number}", chance(), self._objects)
        made.append(partial(self._register, clients, tries, Objects(*names), plan))
        if "cells" in clients:
            plan = RegisterPlan(f"c{number}", chance(), self._cells)
            made.append(partial(self._register, clients, 1, Cells(), plan))
        return made

    @property
    def _objects(self) -> tuple[str, ...]:
        return tuple(f"{key}/object" for key in self._keys[::2])

    @property
    def _cells(self) -> tuple[str, ...]:
        return tuple(f"{key}/cell" for key in self._keys[::2])

    def _register(
        self, clients: Any, tries: int, store: Items | Objects | Cells, plan: RegisterPlan
    ) -> bool:
        kind, key, given = plan.next()

        def call() -> tuple[Any, ...]:
            try:
                answer = ask(clients[store.service], *store.request(kind, key, given), tries)
            except Refused as verdict:
                return store.refused(kind, verdict)
            return store.told(kind, given, answer)

        told = self.recorder.operation(plan.process, key, kind, given, call)
        if told is not None:
            plan.note(kind, key, given, told)
        return told is not None

    def _list(self, clients: Any, tries: int, store: Lists, plan: ListPlan) -> bool:
        kind, steps = plan.next()

        def call() -> Steps | None:
            done = None
            try:
                answer = ask(clients[store.service], *store.request(kind, steps), tries)
                done = store.done(kind, steps, answer)
            except Refused as verdict:
                store.refused(kind, verdict)
            plan.note(done)
            return done

        return self.recorder.transaction(plan.process, steps, call)

    def _run(self, step: Callable[[], bool]) -> None:
        lost = 0
        try:
            while not self._stop.is_set():
                if step():
                    lost = 0
                else:
                    self._stop.wait(self._pause_s * 2 ** min(lost, PAUSE_GROWS_MAX))
                    lost += 1
                self._stop.wait(self._pace_s)
        except BaseException as error:
            self.failures.append(error)

    def read_all(self, make: Maker, cells: CellClient | None = None) -> None:
        """Read every key once more, by a patient client: what was acknowledged and is lost shows in
        the history now. Raises ``AnswerLost`` where there is no answer for minutes."""
        clients = {s: make(s, PATIENT) for s in ("dynamodb", "s3")} | {"cells": cells}
        registers: list[tuple[Items | Objects | Cells, tuple[str, ...]]] = [
            (Items(*self._names), self._keys + self._counters),
            (Objects(*self._names), self._objects),
            *([(Cells(), self._cells)] if cells else []),
        ]
        for store, keys in registers:
            for key in keys:
                self._read(clients, store, key)
        lists = Lists(*self._names)
        for key in self._lists:
            steps: Steps = (("read", key, ()),)
            began = self.recorder.clock()
            answer = self._answer(clients["dynamodb"], *lists.request("read", steps))
            done = lists.done("read", steps, answer)
            self.recorder.note_transaction("afterwards", done, began, "committed")

    @staticmethod
    def _answer(client: Any, operation: str, params: dict[str, Any]) -> Any:
        return patiently(lambda: ask(client, operation, params, 4))

    def _read(self, clients: Any, store: Items | Objects | Cells, key: str) -> None:
        began = self.recorder.clock()
        try:
            answer = self._answer(clients[store.service], *store.request("read", key, ()))
            told = store.told("read", (), answer)
        except Refused as verdict:
            told = store.refused("read", verdict)
        self.recorder.note_operation("afterwards", key, "read", (), began, told)

    def wrong(self) -> list[str]:
        """What no order explains, and what clients died of."""
        died = [f"a client ended with {e!r}" for e in self.failures]
        return died + anomalies(self.recorder.operations, self.recorder.transactions)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=2, help="of each kind and two kinds of try")
    parser.add_argument("--out", type=Path, default=Path("history.jsonl"))
    wish = parser.parse_args()

    def make(service: str, config: Config) -> Any:
        return boto3.client(service, config=config)

    names = Names(f"history-{uuid.uuid4().hex[:12]}")
    prepare(make, names)
    load = Load([make], names, seed=time.time_ns(), each=wish.clients)
    load.start()
    time.sleep(wish.seconds)
    load.stop()
    load.recorder.save(wish.out)
    wrong = load.wrong()
    print("\n".join(wrong))
    done = len(load.recorder.operations), len(load.recorder.transactions)
    print(f"{done[0]} operations, {done[1]} transactions, {len(wrong)} anomalies: {wish.out}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
