"""What becomes of a batch: attempts, halves, failed items, records given up, places kept."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest

from pileus.services.lambda_.batches import (
    RETRIES_EXHAUSTED,
    TOO_OLD,
    Delivery,
    Lost,
    Outcome,
    Rules,
    failed_from,
)

NOW_S = 1_700_000_000


def record(n: int, age_s: int = 0) -> dict[str, Any]:
    return {"dynamodb": {"SequenceNumber": str(n), "ApproximateCreationDateTime": NOW_S - age_s}}


class Stage:
    """Runs a delivery; ``says``: the outcome of each attempt, by the numbers it is given."""

    def __init__(self, rules: Rules, says: Callable[[list[int]], Outcome]) -> None:
        self.attempts: list[list[int]] = []
        self.places: list[int] = []
        self.lost: list[Lost] = []
        self.paused: list[float] = []
        self.now_s = float(NOW_S)
        self._says = says
        self._delivery = Delivery(
            rules, self, self._run, self._passed, self._gave_up, self._failing  # type: ignore[arg-type]
        )  # fmt: skip

    def now_ms(self) -> int:
        return int(self.now_s * 1000)

    async def sleep(self, seconds: float) -> None:
        self.paused.append(seconds)
        self.now_s += seconds

    async def _run(self, records: list[Any]) -> Outcome:
        numbers = [int(r["dynamodb"]["SequenceNumber"]) for r in records]
        self.attempts.append(numbers)
        assert len(self.attempts) < 200
        return self._says(numbers)

    async def _passed(self, last: Any) -> None:
        self.places.append(int(last["dynamodb"]["SequenceNumber"]))

    async def _gave_up(self, lost: Lost) -> None:
        self.lost.append(lost)

    async def _failing(self, outcome: Outcome) -> None:
        pass

    def deliver(self, *records: Any) -> None:
        asyncio.run(self._delivery.deliver(list(records)))
        assert self.places == sorted(self.places)


def poison(bad: int) -> Callable[[list[int]], Outcome]:
    return lambda numbers: Outcome("Unhandled" if bad in numbers else "")


def test_a_batch_is_tried_until_it_is_taken() -> None:
    times = iter([Outcome("Unhandled"), Outcome("Unhandled"), Outcome()])
    stage = Stage(Rules(), lambda numbers: next(times))
    stage.deliver(record(1), record(2))
    assert stage.attempts == [[1, 2]] * 3 and stage.places == [2] and not stage.lost
    assert stage.paused[1] > stage.paused[0]


def test_after_its_retries_a_batch_is_given_up_and_the_rest_goes_on() -> None:
    stage = Stage(Rules(retries_max=2), poison(1))
    stage.deliver(record(1), record(2))
    assert stage.attempts == [[1, 2]] * 3 and stage.places == [2]
    (lost,) = stage.lost
    assert (lost.condition, lost.attempts, len(lost.records)) == (RETRIES_EXHAUSTED, 3, 2)
    stage.deliver(record(3))
    assert stage.attempts[-1] == [3] and stage.places == [2, 3]


def test_halves_find_the_poisonous_record() -> None:
    stage = Stage(Rules(retries_max=0, bisect=True), poison(3))
    stage.deliver(*(record(n) for n in range(1, 9)))
    (lost,) = stage.lost
    assert [r["dynamodb"]["SequenceNumber"] for r in lost.records] == ["3"]
    assert stage.attempts == [[*range(1, 9)], [1, 2, 3, 4], [1, 2], [3, 4], [3], [4], [5, 6, 7, 8]]
    assert stage.places == [2, 3, 4, 8]


def test_what_is_too_old_is_dropped_also_between_attempts() -> None:
    stage = Stage(Rules(age_s_max=60), poison(2))
    stage.deliver(record(1, age_s=100), record(2, age_s=50))
    assert [lost.condition for lost in stage.lost] == [TOO_OLD, TOO_OLD]
    assert stage.attempts and set(map(tuple, stage.attempts)) == {(2,)}
    assert stage.places == [1, 2] and stage.lost[0].outcome is None


def test_failed_items_are_tried_again_from_the_first_one() -> None:
    def says(numbers: list[int]) -> Outcome:
        if len(stage.attempts) > 1:
            return Outcome(payload=b'{"batchItemFailures": []}')
        failures = [{"itemIdentifier": "4"}, {"itemIdentifier": "3"}]
        return Outcome(payload=json.dumps({"batchItemFailures": failures}).encode())

    stage = Stage(Rules(items=True), says)
    stage.deliver(*(record(n) for n in range(1, 6)))
    assert stage.attempts == [[1, 2, 3, 4, 5], [3, 4, 5]] and stage.places == [2, 5]


def test_a_function_that_did_not_run_costs_no_retry() -> None:
    def says(numbers: list[int]) -> Outcome:
        busy = len(stage.attempts) < 5
        return Outcome("TooManyRequestsException", started=False) if busy else Outcome()

    stage = Stage(Rules(retries_max=0, bisect=True), says)
    stage.deliver(record(1), record(2))
    assert stage.attempts == [[1, 2]] * 5 and not stage.lost


@pytest.mark.parametrize(
    ("answer", "first"),
    [
        (b"", None), (b"null", None), (b"[]", None), (b"{}", None),
        (b'{"batchItemFailures": []}', None), (b'{"batchItemFailures": null}', None),
        (b'{"batchItemFailures": [{"itemIdentifier": "2"}]}', 1),
        (b'{"batchItemFailures": [{"itemIdentifier": 123}]}', 0),
        (b'{"batchItemFailures": [{"itemIdentifier": ""}]}', 0),
        (b'{"batchItemFailures": [{"itemIdentifier": null}]}', 0),
        (b'{"batchItemFailures": [{"foo": 123}]}', 0),
        (b'{"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "99"}]}', 0),
        (b'{"batchItemFailures": "2"}', 0), (b"not json", 0),
    ],
)  # fmt: skip
def test_answers_that_name_failed_items(answer: bytes, first: int | None) -> None:
    assert failed_from(answer, [record(1), record(2)], True) == first
    assert failed_from(answer, [record(1), record(2)], False) is None
