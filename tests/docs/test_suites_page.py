"""What outside suites count on three nodes stands beside what they count on one machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from docs import suites_page
from tests.suites import run

ON_ONE = {
    "of": 3,
    "passed": 2,
    "failed": 1,
    "commit": "0123456789",
    "date": "2026-01-01",
    "groups": {"all": {"of": 3, "passed": 2, "failed": 1}},
    "not_passed": {"never passes": "the suite's own way"},
}


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A record of one suite's counts on one machine, and reasons for three nodes."""
    file, reasons = tmp_path / "suites.json", tmp_path / "reasons.toml"
    file.write_text(json.dumps({"theirs": ON_ONE}))
    reasons.write_text('["three nodes".theirs]\n"at once *" = "eventual reads"\n')
    monkeypatch.setattr(run, "RECORD", file)
    monkeypatch.setattr(run, "REASONS", reasons)
    monkeypatch.setattr(suites_page, "RECORD", file)
    return file


def on_three(*not_passed: str) -> dict[str, Any]:
    return ON_ONE | {"not_passed": dict.fromkeys(not_passed, "expected 1 to be 2")}


def test_what_passes_on_one_machine_only_has_its_reason(kept: Path) -> None:
    found = on_three("never passes", "at once is read", "new") | {"passed": 0}
    run.record({"theirs": found}, 3)
    told = json.loads(kept.read_text())["theirs"]
    assert {name: told[name] for name in ON_ONE} == ON_ONE
    assert told["three_nodes"]["shards"] == run.SHARDS
    assert told["three_nodes"]["not_passed"] == {
        "at once is read": "eventual reads",
        "new": "not known yet: expected 1 to be 2",
    }
    page = suites_page.section()
    assert "| theirs | 01234567 | 2026-01-01 | 3 | 2 (66.7%) | 0 (0.0%) |" in page
    assert "| passed on one machine only | why |" in page
    assert "| `at once is read` | eventual reads |" in page


def test_no_difference_is_told_as_one(kept: Path) -> None:
    run.record({"theirs": on_three("never passes")}, 3)
    page = suites_page.section()
    assert "what passes on one machine passes there." in page
    assert "one machine only" not in page


def test_counting_one_machine_again_keeps_three_nodes(kept: Path) -> None:
    run.record({"theirs": on_three("at once is read")}, 3)
    run.record({"theirs": on_three("never passes")}, 1)
    told = json.loads(kept.read_text())["theirs"]
    assert told["three_nodes"]["not_passed"] == {"at once is read": "eventual reads"}
