"""A session that is told less than it knew is noticed; one that is told old things is not."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from lab import sessions
from lab.history.cells import CellClient
from lab.ledger import Door
from lab.sessions import Sessions

READS = 60


class Table:
    """Numbers that grow. ``told(number)``: what a reader is told of it."""

    def __init__(self, told: Callable[[int], int]) -> None:
        self._told, self._lock = told, threading.Lock()
        self._numbers: dict[str, int] = {}
        self._asked = itertools.count()

    def update_item(self, **asked: Any) -> Any:
        with self._lock:
            if next(self._asked) % 5 == 4:
                raise EndpointConnectionError(endpoint_url="x")
            row = asked["Key"]["PK"]["S"]
            self._numbers[row] = self._numbers.get(row, 0) + 1
            return {"Attributes": {"n": {"N": str(self._numbers[row])}}}

    def get_item(self, **asked: Any) -> Any:
        with self._lock:
            found = self._told(self._numbers.get(asked["Key"]["PK"]["S"], 0))
        return {"Item": {"n": {"N": str(found)}}} if found else {}


def judged(*tables: Table) -> list[str]:
    """What sessions at nodes with these tables say."""

    def cells() -> CellClient:
        raise NotImplementedError

    def door(number: int, table: Table) -> Door:
        return Door(f"n{number}", lambda service, config: table, cells)

    doors = [door(number, table) for number, table in enumerate(tables)]
    held = Sessions(doors, ["t"], "run", 1)
    held.start()
    deadline = time.monotonic() + 60
    while held.reads < READS * len(tables) and time.monotonic() < deadline and not held.wrong:
        time.sleep(0.01)
    held.stop()
    return held.wrong


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "PACE_S", 0.001)


def test_honest_nodes_pass() -> None:
    assert judged(Table(lambda number: number), Table(lambda number: number)) == []


def test_a_session_misses_its_own_write() -> None:
    (said,) = judged(Table(lambda number: max(0, number - 1)))[:1]
    assert said.startswith("n0 told 0 of run/session0 after 1")


def test_a_session_goes_back() -> None:
    turns = itertools.count()
    assert judged(Table(lambda number: number if next(turns) % 7 else number // 2))


def test_an_answer_of_no_shape_is_told() -> None:
    (said,) = judged(Table(lambda number: 1 // 0))
    assert said.startswith("the session at n0 ended with ZeroDivisionError")
