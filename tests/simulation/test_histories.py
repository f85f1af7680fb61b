"""Histories of the simulated machine have an order; and the checkers notice when they have none."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.services.dynamodb import transacting
from pileus.services.dynamodb.expressions.conditions import Condition
from pileus.state.database import Rows
from pileus.state.duplicates import Duplicates
from tests.simulation.histories import run_seed
from tests.simulation.promises import Violation

SEEDS = 6


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


def test_transactions_carried_out_in_part_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, last = transacting.carry_out, [None]

    def first_only(tx: Any, *given: Any) -> Any:
        if last[0] is tx.request_id:
            return [1.0, {}]
        last[0] = tx.request_id
        return whole(tx, *given)

    monkeypatch.setattr(transacting, "carry_out", first_only)
    noticed("G")


def test_transactional_reads_of_several_moments_are_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    old: dict[bytes, bytes | None] = {}

    def scattered(self: Rows, keys: Any) -> list[bytes | None]:
        return [
            old.setdefault(k, self.value(k)) if n else self.value(k) for n, k in enumerate(keys)
        ]

    monkeypatch.setattr(Rows, "values", scattered)
    noticed("G-single")
