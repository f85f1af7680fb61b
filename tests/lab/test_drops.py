"""What a round of lost front ends records: who failed, who waited, until when."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from lab import drops, fronts
from lab.drops import Drop, Told, told
from lab.losses import LOSSES
from lab.probe import Seen

NONE = Told(100, {}, 0, 0.01, 0.0, 0.0, 0.02)


def asked(begin: float, end: float, status: int = 200, takes: float = 0.01) -> list[Seen]:
    """One GET every 20 ms."""
    count = round((end - begin) / 0.02)
    return [Seen("GET", b, b + takes, "", status) for b in (begin + n * 0.02 for n in range(count))]


def test_nothing_failed_and_nobody_waited() -> None:
    found = told([*asked(7, 15)], "GET", 10.0, 14.0)
    assert (found.failed, found.waited, found.reaction_s, found.outage_s) == ({}, 0, 0.0, 0.0)
    assert found.asked == 200 and found.recovery_s is None
    assert found.usual_s == found.longest_s == pytest.approx(0.01)


def test_failures_are_counted_by_status_and_others_kinds_are_others() -> None:
    seen = [*asked(7, 10), *asked(10, 10.4, 502), *asked(10.4, 10.5, 0), *asked(10.5, 15)]
    seen += [Seen("POST", 12.0, 12.01, "", 502)]
    found = told(seen, "GET", 10.0, 14.0)
    assert found.failed == {"502": 20, "0": 5} and found.asked == 200
    assert found.reaction_s == pytest.approx(0.48) and found.outage_s == pytest.approx(0.51)
    assert found.recovery_s == pytest.approx(0.03)


def test_who_hung_and_was_answered_well_waited() -> None:
    hung = Seen("GET", 10.3, 16.3, "", 200)
    before = Seen("GET", 9.9, 12.0, "", 200)  # under way when it happened
    found = told([*asked(7, 15), hung, before], "GET", 10.0, 14.0)
    assert (found.failed, found.waited, found.outage_s) == ({}, 2, 0.0)
    assert found.reaction_s == pytest.approx(0.3) and found.longest_s == pytest.approx(6.0)


def test_what_was_asked_after_the_end_is_not_judged() -> None:
    found = told([*asked(7, 14), *asked(14, 15, 502)], "GET", 10.0, 14.0)
    assert found.failed == {} and found.asked == 200


def test_a_recorded_round_is_not_made_again_and_is_on_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def one_round(street: Any, loss: Any, seed: int) -> Drop:
        bad = dataclasses.replace(NONE, failed={"502": seed + 1}, reaction_s=seed / 4, waited=3)
        return Drop("b", "2026-11-22", loss.name, seed, "n2", 4, 5.0, None, NONE, bad)

    monkeypatch.setattr(fronts, "one_round", one_round)
    street: Any = None
    record = tmp_path / "fronts.jsonl"
    for rounds in (1, 3):
        fronts.run(street, LOSSES[:2], rounds, record, lambda said: None)
    found = drops.read(record)
    names = [loss.name for loss in LOSSES[:2]]
    assert [one.key for one in found] == [(name, seed) for seed in range(3) for name in names]
    page = drops.page(found)
    rows = [[c.strip() for c in line.split("|")] for line in page.splitlines() if "| `" in line]
    assert [row[2:7] for row in rows[:2]] == [["3", "300", "0", "0", "0.00, 0.00"]] * 2
    assert [row[2:7] for row in rows[2:]] == [["3", "300", "6 (502: 6)", "9", "0.25, 0.50"]] * 2
