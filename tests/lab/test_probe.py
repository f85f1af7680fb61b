"""Reaction, repair, recovery and outage come out of what the probe saw as they are defined."""

from __future__ import annotations

import pytest

from lab.probe import NODES, Seen, Times, times

WELL, ILL = ["alive", []], ["down", []]


def asked(begin: float, end: float, told: bool, takes: float = 0.01) -> list[Seen]:
    """One request every 20 ms."""
    count = round((end - begin) / 0.02)
    return [
        Seen("write", at, at + takes, "n2", told) for at in (begin + n * 0.02 for n in range(count))
    ]


def view(at: float, of: list[object], leader: str = "", target: str = "n2") -> Seen:
    told = {"n1": of, "n2": ["alive", ["log-leader"] if leader == "n2" else []]}
    return Seen(NODES, at - 0.01, at, target, told)


def test_the_four_times_and_their_sum() -> None:
    seen = [
        *asked(9, 10, True),
        *asked(10, 14, False, takes=1.0),
        *asked(14, 15, True),
        view(9.5, WELL, "n1"),
        view(11.5, ILL),
        view(11.0, ILL, target="n1"),  # what the victim says does not count
        view(13.5, ILL, "n2"),
    ]
    found = times(seen, "write", 10.0, "n1")
    assert found.reaction == pytest.approx(1.5) and found.repair == pytest.approx(2.0)
    assert found.outage == pytest.approx(4.01) and found.recovery == pytest.approx(2.51)
    assert found.reaction + found.recovery == pytest.approx(found.outage)
    assert found.gap == pytest.approx(4.02, abs=0.03) and found.failed == 200


def test_nothing_failed_or_only_long_afterwards_is_no_outage() -> None:
    assert times(asked(9, 15, True), "write", 10.0, "n1") == Times(
        None, None, None, 0.0, pytest.approx(0.02), 0, 250
    )
    later = [*asked(9, 14, True), *asked(14, 14.1, False), *asked(14.1, 15, True)]
    found = times(later, "write", 10.0, "n1")
    assert found.outage == 0.0 and found.failed == 5 and found.gap == pytest.approx(0.12)


def test_a_few_good_answers_between_failures_end_no_outage() -> None:
    seen = [
        *asked(10, 11, False),
        *asked(11, 11.06, True),
        *asked(11.06, 12, False),
        *asked(12, 13, True),
    ]
    assert times(seen, "write", 10.0, "n1").outage == pytest.approx(2.01)


def test_several_logs_are_repaired_when_others_lead_all_of_them() -> None:
    def several(at: float, of: str, *leads: int) -> Seen:
        told = {
            name: ["alive" if number else of, ["log-leader"] if count else [], counts(count)]
            for number, (name, count) in enumerate(zip(("n1", "n2", "n3"), leads, strict=True))
        }
        return Seen(NODES, at - 0.01, at, "n2", told)

    def counts(leads: int) -> dict[str, int]:
        return {"leads": leads, "copies": 8, "of": 8}

    views = [several(9.5, "alive", 3, 3, 2), several(11.0, "down", 3, 3, 2)]
    views += [several(12.0, "down", 3, 4, 3), several(14.0, "down", 3, 5, 3)]
    found = times([*asked(9, 15, True), *views], "write", 10.0, "n1")
    assert found.reaction == pytest.approx(1.0) and found.repair == pytest.approx(3.0)
