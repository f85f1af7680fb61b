"""A part of the seeds of ``make sim``, and proof that the checks can fail."""

from __future__ import annotations

from tests.simulation.run import run_seed


def test_no_seed_loses_or_repeats_an_acknowledged_effect() -> None:
    crashes = sum(run_seed(seed).node.crashes for seed in range(60))
    assert crashes > 100


def test_a_log_that_acknowledges_before_its_sync_is_caught() -> None:
    caught = 0
    for seed in range(10):
        try:
            run_seed(seed, sync=False)
        except Exception:
            caught += 1
    assert caught >= 5


def test_a_seed_repeats_exactly() -> None:
    first = run_seed(3).chain
    assert first and run_seed(3).chain == first
