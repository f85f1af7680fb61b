"""The checker of transactions accepts honest histories and names every kind of lie."""

from __future__ import annotations

from typing import Any

import pytest

from lab.history.records import Transaction
from lab.history.serializable import check
from tests.lab.broken import Lists

Steps = tuple[tuple[Any, ...], ...]


def t(*steps: tuple[Any, ...], at: tuple[int, int] = (0, 99), outcome: str = "committed") -> Any:
    ended = None if outcome == "unknown" else at[1]
    return Transaction("p", steps, at[0], ended, outcome)


def a(key: str, value: int) -> tuple[Any, ...]:
    return ("append", key, value)


def r(key: str, *values: int) -> tuple[Any, ...]:
    return ("read", key, values)


CASES: list[tuple[str, list[Transaction]]] = [
    ("G0, write cycle", [t(a("x", 1), a("y", 1)), t(a("x", 2), a("y", 2)), t(r("x", 1, 2)),
                         t(r("y", 2, 1))]),
    ("G1a, aborted read", [t(a("x", 1), outcome="aborted"), t(r("x", 1))]),
    ("G1b, intermediate read", [t(a("x", 1), a("x", 2)), t(r("x", 1))]),
    ("G1c, circular information flow", [t(a("x", 1), r("y", 1)), t(a("y", 1), r("x", 1))]),
    ("G-single, read skew", [t(a("x", 1), a("y", 1)), t(r("x", 1), r("y")), t(r("y", 1))]),
    ("G2, anti-dependency cycle", [t(r("x"), a("y", 1)), t(r("y"), a("x", 1)),
                                   t(r("x", 1), r("y", 1))]),
    ("repeated effect", [t(a("x", 1)), t(r("x", 1, 1))]),
    ("value from nowhere", [t(r("x", 7))]),
    ("incompatible order", [t(a("x", 1)), t(a("x", 2)), t(r("x", 1, 2)), t(r("x", 2))]),
    ("G-single, read skew, in real time", [t(a("x", 1), at=(0, 1)), t(r("x"), at=(2, 3)),
                                           t(r("x", 1), at=(4, 5))]),
    ("G-single, read skew", [t(a("x", 1), a("y", 1), outcome="unknown"), t(r("x", 1), r("y")),
                             t(r("y"))]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "history"), CASES, ids=lambda v: v if isinstance(v, str) else "")
def test_anomalies_are_named(name: str, history: list[Transaction]) -> None:
    found = check(history)
    assert [f.name for f in found] == [name]
    assert len(found[0].transactions) <= 3 and str(found[0]).startswith(name)


@pytest.mark.parametrize(
    "history",
    [
        [t(a("x", 1), a("y", 1)), t(r("x", 1), r("y", 1)), t(r("x"), r("y"))],
        [t(a("x", 1), outcome="unknown"), t(r("x"), at=(100, 101)), t(r("x", 1), at=(102, 103))],
        [t(a("x", 1), outcome="unknown"), t(r("x"), at=(100, 101))],
        [t(a("x", 1), outcome="aborted"), t(r("x"), at=(100, 101))],
        [t(r("x"), a("x", 1)), t(r("x", 1), a("x", 2))],
    ],
)
def test_what_one_order_explains_passes(history: list[Transaction]) -> None:
    assert check(history) == []


def test_a_stale_read_is_an_anomaly_only_by_the_clock() -> None:
    history = [t(a("x", 1), at=(0, 1)), t(r("x"), at=(2, 3)), t(r("x", 1), at=(4, 5))]
    assert check(history) and not check(history, real_time=False)


@pytest.mark.parametrize("seed", range(12))
def test_honest_histories_pass(seed: int) -> None:
    history = Lists(seed).run()
    assert check(history) == []
    assert {h.outcome for h in history} == {"committed", "aborted", "unknown"}


NAMED = {
    "torn": "G-single", "write skew": "G", "dirty": "G1a", "stale read": "G", "half": "G",
    "twice": "repeated", "reorder": "incompatible", "fractured read": "G", "lost append": "G",
}  # fmt: skip


@pytest.mark.parametrize("lie", Lists.lies)
def test_every_lie_is_caught_and_named(lie: str) -> None:
    found = [check(Lists(seed, lie).run()) for seed in range(10)]
    assert sum(map(bool, found)) >= 9, found
    names = [anomaly.name for anomalies in found for anomaly in anomalies]
    assert any(name.startswith(NAMED[lie]) for name in names), names
