"""On a node whose copies of the logs come late, readers see no half; without the gate they do."""

from __future__ import annotations

import pytest

from pileus.state import gate
from tests.simulation.lagging import follow_seed
from tests.simulation.promises import Violation

SEEDS = 3


def test_a_node_that_lags_shows_no_half_and_comes_to_the_end() -> None:
    for seed in range(SEEDS):
        try:
            assert follow_seed(seed), "nothing had to wait"
        except Violation as wrong:
            again = f"python -m tests.simulation.lagging --seeds {seed}"
            pytest.fail(f"{wrong}\nrepeat: {again}", pytrace=False)


@pytest.mark.parametrize("rule", sorted(gate.GATED))
def test_an_entry_that_is_not_held_back_is_noticed(
    rule: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "GATED", gate.GATED - {rule})
    for seed in range(12):
        try:
            follow_seed(seed)
        except Violation:
            return
    pytest.fail("nothing was noticed")
