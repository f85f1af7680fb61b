"""kill -9 under load, twenty times: every acknowledged write is there, none twice (S6)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import new_cloud
from tests.soak.kill import ENOUGH, lost_events, one_round, prepare

ROUNDS = 20


@pytest.mark.timeout(400)
def test_nothing_acknowledged_is_lost_or_doubled(tmp_path: Path) -> None:
    cloud = new_cloud(tmp_path / "home").up()
    try:
        prepare(cloud, items=2_000)
        rounds = [one_round(cloud, seed) for seed in range(ROUNDS)]
        events = [e for r in rounds for e in r.events]
        lost = lost_events(cloud, events)
    finally:
        cloud.down()
    assert [w for r in rounds for w in r.wrong] + lost == []
    assert len(events) > ROUNDS, "the events did not flow"
    times = sorted(r.start.process_seconds for r in rounds)
    print(f"healthy after kill -9: median {times[ROUNDS // 2]:.2f} s, worst {times[-1]:.2f} s")
    assert all(r.acknowledged > ENOUGH for r in rounds), "the load did not load"
