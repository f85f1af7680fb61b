"""Transactions across shards have an order, whoever dies; and the checker notices when not."""

from __future__ import annotations

import pytest

from pileus.state import keys, replica, sharding, spanning
from pileus.state.locks import Locks
from pileus.state.overlay import Overlay
from pileus.state.sharding import ShardTx
from tests.simulation.promises import Violation
from tests.simulation.shards import run_seed

SEEDS = 3


def test_one_order_explains_every_list_though_authors_die() -> None:
    crashes = deaths = moves = 0
    for seed in range(SEEDS):
        try:
            run = run_seed(seed)
        except Violation as wrong:
            again = f"python -m tests.simulation.shards --seeds {seed}"
            pytest.fail(f"{wrong}\nrepeat: {again}", pytrace=False)
        crashes += run.crashes
        deaths += run.deaths
        moves += run.moves
    assert crashes >= SEEDS and deaths > SEEDS and moves > SEEDS


def noticed() -> None:
    for seed in range(24):
        try:
            run_seed(seed)
        except Violation:
            return
    pytest.fail("nothing was noticed")


def test_rows_that_are_held_for_nobody_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Locks, "check_read", lambda self, key: None)
    noticed()


def test_readers_that_see_half_of_a_decision_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Overlay, "_load", lambda self: {})
    noticed()


def test_a_copy_that_misses_what_changed_meanwhile_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sharding, "dirty_key", lambda moving, key: keys.key("moves", "x", key))
    noticed()


def test_an_end_that_does_not_ask_what_was_decided_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def never(tx: ShardTx, txn: bytes) -> bool:
        spanning._release(tx, txn, False)
        return False

    monkeypatch.setitem(replica.BUILT_IN, spanning.ABORT, never)
    noticed()
