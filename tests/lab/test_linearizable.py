"""The checker of single registers accepts honest histories and catches every kind of lie."""

from __future__ import annotations

import itertools
import random
from pathlib import Path
from typing import Any

import pytest

from lab.history.linearizable import Undecided, after, check, check_key
from lab.history.records import Operation, Recorder, load
from tests.lab.broken import Registers


def op(
    kind: str, given: Any, told: Any, began: int, ended: int | None, process: str = "p"
) -> Operation:
    return Operation(process, "k", kind, given, began, ended, told)


def test_a_read_may_see_a_write_that_goes_on_but_not_one_that_has_not_begun() -> None:
    write = op("write", ("1",), (None,), 0, 10)
    assert not check([write, op("read", (), ("1",), 1, 2), op("read", (), ("1",), 3, 4)])
    assert not check([write, op("read", (), (None,), 1, 2), op("read", (), ("1",), 3, 4)])
    back = [write, op("read", (), ("1",), 1, 2), op("read", (), (None,), 3, 4)]
    [violation] = check(back)
    assert violation.operation == back[2] and violation.under_way == (write,)
    assert "read k () -> (None,)" in str(violation)
    assert check([op("read", (), ("1",), 0, 1), op("write", ("1",), (None,), 2, 3)])


def test_an_acknowledged_write_must_be_seen() -> None:
    stale = [op("write", ("1",), (None,), 0, 1), op("read", (), (None,), 2, 3)]
    assert check(stale)
    assert not check([stale[0], op("read", (), ("1",), 2, 3)])


@pytest.mark.parametrize(("value", "fits"), [("1", True), ("2", True), (None, False), ("3", False)])
def test_a_lost_answer_may_take_effect_later_or_never(value: str | None, fits: bool) -> None:
    history = [
        op("write", ("1",), (None,), 0, 1),
        op("write", ("2",), (), 2, None),
        op("read", (), ("1",), 3, 4),
        op("read", (), (value,), 100, 101),
    ]
    assert bool(check(history)) != fits
    then = [*history, op("read", (), ("1",), 102, 103)]
    assert bool(check(then)) == (value != "1")  # once seen it cannot go away


def test_swaps_and_sums_happen_once() -> None:
    swaps = [op("swap", (None, v), ("done",), 0, 5, v) for v in "ab"]
    assert check(swaps)
    refused = op("swap", (None, "b"), ("refused", "a"), 0, 5)
    assert not check([swaps[0], refused])
    assert not check([swaps[0], op("swap", (None, "b"), ("refused",), 0, 5)])
    assert check([swaps[0], op("swap", (None, "b"), ("refused", "c"), 0, 5)])
    assert not check([op("add", (n,), (t,), 0, 9) for n, t in ((1, 3), (2, 2), (4, 7))])
    assert check([op("add", (n,), (t,), 0, 9) for n, t in ((1, 3), (2, 3), (4, 7))])


@pytest.mark.parametrize("seed", range(12))
def test_honest_histories_pass(seed: int) -> None:
    history = Registers(seed).run()
    assert not check(history)
    assert len(history) == 450 and any(o.ended is None for o in history)


@pytest.mark.parametrize("lie", Registers.lies)
def test_every_lie_is_caught(lie: str) -> None:
    caught = [bool(check(Registers(seed, lie).run())) for seed in range(10)]
    assert sum(caught) >= 9, caught


def by_force(history: list[Operation]) -> bool:
    """Every order of every choice of the lost ones, tried out."""
    sure = [o for o in history if o.ended is not None]
    lost = [o for o in history if o.ended is None]
    for count in range(len(lost) + 1):
        for some in itertools.combinations(lost, count):
            if any(map(explains, itertools.permutations([*sure, *some]))):
                return True
    return False


def explains(order: tuple[Operation, ...]) -> bool:
    value: Any = None
    for at, operation in enumerate(order):
        if any(o.ended is not None and o.ended < operation.began for o in order[at + 1 :]):
            return False
        allowed, value = after(value, operation)
        if not allowed:
            return False
    return True


def test_small_histories_are_judged_as_by_trying_every_order() -> None:
    chance, verdicts = random.Random(5), set()
    for _ in range(400):
        history = []
        for _ in range(5):
            kind = chance.choice(("read", "write", "swap"))
            told: Any = {"read": (chance.choice("ab"),), "write": chance.choice(((), (None,)))}.get(
                kind, chance.choice((("done",), ("refused",), ("refused", "a")))
            )
            given: Any = {"read": (), "write": (chance.choice(("a", "b", None)),)}.get(
                kind, (chance.choice(("a", None)), "b")
            )
            began = chance.randint(0, 12)
            ended = None if chance.random() < 0.25 else began + chance.randint(1, 6)
            history.append(op(kind, given, () if ended is None else told, began, ended))
        fits = by_force(history)
        verdicts.add(fits)
        assert (check_key(history) is None) == fits, history
    assert verdicts == {True, False}


def test_the_search_gives_up_instead_of_growing_for_ever() -> None:
    history = [op("add", (2**n,), (), 0, None) for n in range(20)]
    with pytest.raises(Undecided):
        check_key([*history, op("read", (), (2**20 - 1,), 1, 2)])


def test_a_history_is_kept_and_read_again(tmp_path: Path) -> None:
    recorder = Recorder()
    recorder.operations += Registers(1).run()
    recorder.transaction(
        "p", (("append", "k", 1),), lambda: (("read", "k", ()), ("append", "k", 1))
    )
    recorder.save(tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == (recorder.operations, recorder.transactions)


def test_lost_answers_that_do_the_same_are_tried_in_one_order() -> None:
    """A long outage leaves dozens of them: every subset would be looked at."""
    lost = [op("write", (f"lost{n}",), (), n, None) for n in range(40)]
    lost += [op("write", (None,), (), n, None) for n in range(40)]
    seen = [
        op("write", ("1",), (), 100, 101),
        op("swap", ("1", "2"), ("refused",), 102, 103),
        op("read", (), ("1",), 104, 105),
    ]
    assert check([*lost, *seen])  # the 1 was overwritten, and does not come back
    assert not check([*lost, *seen[:2]])
    assert check(seen[:2])


def test_a_counter_cannot_have_passed_what_it_told() -> None:
    lost = [op("add", (2**n,), (), 0, None) for n in range(40)]
    assert not check([*lost, op("read", (), (5,), 1, 2), op("read", (), (7,), 3, 4)])
    assert check([*lost, op("read", (), (5,), 1, 2), op("read", (), (4,), 3, 4)])
