"""A batch of stream records on its way to a function: retries, halves, items that failed.

https://docs.aws.amazon.com/lambda/latest/dg/services-ddb-batchfailurereporting.html
https://docs.aws.amazon.com/lambda/latest/dg/with-ddb-retain-records.html
Order is kept: what comes later waits. What is done moves the mapping's position at once, so that a
crash repeats only what was under way.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.engine import Clock

RETRIES_EXHAUSTED, TOO_OLD = "RetryAttemptsExhausted", "RecordAgeExceeded"
PAUSE_S, PAUSE_S_MAX = 0.2, 60.0
Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Rules:
    """Of a mapping. -1: without limit (a stream keeps its records for a day)."""

    retries_max: int = -1
    age_s_max: int = -1
    bisect: bool = False
    items: bool = False  # ReportBatchItemFailures


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one attempt. ``started`` is False when the function never ran (throttled, no runtime)."""

    error: str = ""
    payload: bytes = b""
    request_id: str = ""
    version: str = ""
    started: bool = True


@dataclass(frozen=True, slots=True)
class Lost:
    """Records given up: why, after how many attempts, and what the last one said."""

    records: list[Record]
    condition: str
    attempts: int
    outcome: Outcome | None


@dataclass(slots=True)
class _Piece:
    records: list[Record]
    attempts: int = 0  # of this piece; halves begin with what the whole had used up
    pauses: int = 0
    last: Outcome | None = None


class Delivery:
    """``run`` invokes; ``passed`` is told the last record of what is done; ``gave_up`` of what is
    lost, before ``passed``; ``failing`` that an attempt failed and another follows."""

    def __init__(
        self,
        rules: Rules,
        clock: Clock,
        run: Callable[[list[Record]], Awaitable[Outcome]],
        passed: Callable[[Record], Awaitable[None]],
        gave_up: Callable[[Lost], Awaitable[None]],
        failing: Callable[[Outcome], Awaitable[None]],
    ) -> None:
        self._rules, self._clock = rules, clock
        self._run, self._passed = run, passed
        self._gave_up, self._failing = gave_up, failing

    async def deliver(self, records: list[Record]) -> None:
        """Return when every record was taken or given up."""
        pieces = [_Piece(records)]
        while pieces:
            piece = pieces.pop(0)
            await self._drop_old(piece)
            if piece.records:
                pieces[:0] = await self._attempt(piece)

    async def _drop_old(self, piece: _Piece) -> None:
        if self._rules.age_s_max < 0:
            return
        limit_s = self._clock.now_ms() / 1000 - self._rules.age_s_max
        old = [r for r in piece.records if arrived_s(r) < limit_s]
        if old:
            piece.records = piece.records[len(old) :]
            await self._lose(Lost(old, TOO_OLD, piece.attempts, piece.last))

    async def _lose(self, lost: Lost) -> None:
        await self._gave_up(lost)
        await self._passed(lost.records[-1])

    async def _attempt(self, piece: _Piece) -> list[_Piece]:
        """What is left to do of it."""
        records = piece.records
        outcome = await self._run(records)
        first = 0 if outcome.error else failed_from(outcome.payload, records, self._rules.items)
        if first is None:
            await self._passed(records[-1])
            return []
        if first:  # all before it were taken
            await self._passed(records[first - 1])
            piece = _Piece(records[first:], piece.attempts)
        piece.last = outcome
        await self._failing(outcome)
        if not outcome.started:
            return [await self._pause(piece)]
        if self._rules.bisect and len(piece.records) > 1:
            middle = len(piece.records) // 2
            halves = (piece.records[:middle], piece.records[middle:])
            return [_Piece(half, piece.attempts, last=outcome) for half in halves]
        piece.attempts += 1
        if 0 <= self._rules.retries_max < piece.attempts:
            await self._lose(Lost(piece.records, RETRIES_EXHAUSTED, piece.attempts, outcome))
            return []
        return [await self._pause(piece)]

    async def _pause(self, piece: _Piece) -> _Piece:
        await self._clock.sleep(min(PAUSE_S * 2 ** min(piece.pauses, 20), PAUSE_S_MAX))
        piece.pauses += 1
        return piece


def arrived_s(record: Record) -> float:
    return float(record["dynamodb"]["ApproximateCreationDateTime"])


def sequence_of(record: Record) -> str:
    return str(record["dynamodb"]["SequenceNumber"])


def failed_from(payload: bytes, records: list[Record], items: bool) -> int | None:
    """The place of the first record that failed; None when all were taken. What cannot be read, or
    names no record of the batch, says that all have failed."""
    if not items:
        return None
    try:
        told = orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return 0
    failures = told.get("batchItemFailures") if isinstance(told, dict) else told
    if not failures and not isinstance(failures, str):
        return None  # null, nothing, an empty list
    if not isinstance(failures, list):
        return 0
    places = {sequence_of(record): n for n, record in enumerate(records)}
    named = [f.get("itemIdentifier") if isinstance(f, dict) else None for f in failures]
    found = [places.get(n) if isinstance(n, str) else None for n in named]
    known = [n for n in found if n is not None]
    return min(known) if len(known) == len(found) else 0
