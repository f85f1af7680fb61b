"""Histories of the simulated machine have an order; and the checkers notice when they have none."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.services.dynamodb.expressions.conditions import Condition
from pileus.state.duplicates import Duplicates
from tests.simulation.histories import run_seed
from tests.simulation.tables import Violation

SEEDS = 8


def test_one_order_explains_every_answer() -> None:
    crashes, lost = 0, 0
    for seed in range(SEEDS):
        try:
            run = run_seed(seed)
        except Violation as wrong:
            again = f"python -m tests.simulation.histories --seeds {seed}"
            pytest.fail(f"{wrong}\nrepeat: {again}", pytrace=False)
        crashes += run.machine.crashes
        lost += sum(o.ended is None for o in run.recorder.operations)
        assert {t.outcome for t in run.recorder.transactions} == {"committed", "aborted", "unknown"}
    assert crashes >= SEEDS and lost > SEEDS


def noticed(what: str) -> None:
    for seed in range(SEEDS):
        try:
            run_seed(seed)
        except Violation as wrong:
            if what in str(wrong):
                return
    pytest.fail("nothing was noticed")


def test_repeats_taken_for_new_requests_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Duplicates, "get", lambda self, key: None)
    noticed("")


def test_conditions_that_always_hold_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    def always(self: Condition, *given: Any) -> bool:
        return True

    monkeypatch.setattr(Condition, "test", always)
    noticed("not linearizable")
