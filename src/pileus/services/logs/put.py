"""PutLogEvents: take a batch of lines.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
"""

from __future__ import annotations

from collections.abc import Awaitable
from itertools import pairwise
from typing import Any

from pileus.services.call import Call
from pileus.services.logs import embedded, rows
from pileus.services.logs.room import Room

BATCH_EVENTS_MAX = 10_000
BATCH_BYTES_MAX = 1_048_576
EVENT_OVERHEAD = 26
DAY_MS = 86_400_000
FUTURE_MS_MAX = 2 * 3_600_000
AGE_MS_MAX = 14 * DAY_MS
SEQUENCE_TOKEN = "49039859627048070284"  # tokens are ignored by AWS since 2023, but answered


def put_log_events(room: Room, call: Call) -> dict[str, Any] | Awaitable[dict[str, Any]]:
    """Append events; those too new, too old or past the retention are told and dropped. Metrics
    that events carry go to CloudWatch before the answer."""
    params = call.params
    events = [(int(e["timestamp"]), str(e["message"])) for e in params["logEvents"]]
    _check(events)
    group = room.group(call)
    stream = room.stream(group, params["logStreamName"])
    now_ms = room.clock.now_ms()
    first, last, rejected = _acceptable(events, now_ms, group["retention"])
    accepted = events[first:last]
    if accepted:
        room.events.append(group["id"], stream["id"], accepted, now_ms)
    answer: dict[str, Any] = {"nextSequenceToken": SEQUENCE_TOKEN}
    answer |= {"rejectedLogEventsInfo": rejected} if rejected else {}
    found = embedded.metrics(message for _, message in accepted)
    return _with_metrics(room, call, found, answer) if found else answer


async def _with_metrics(
    room: Room, call: Call, found: list[tuple[str, list[embedded.Datum]]], answer: dict[str, Any]
) -> dict[str, Any]:
    await embedded.put(room.dispatch, call, found)
    return answer


def _check(events: list[tuple[int, str]]) -> None:
    if not 1 <= len(events) <= BATCH_EVENTS_MAX:
        raise rows.invalid(
            f"1 validation error detected: Value at 'logEvents' failed to satisfy constraint:"
            f" Member must have length between 1 and {BATCH_EVENTS_MAX}"
        )
    size = sum(len(message.encode()) + EVENT_OVERHEAD for _, message in events)
    if size > BATCH_BYTES_MAX:
        raise rows.invalid(f"Upload too large: {size} bytes exceeds limit of {BATCH_BYTES_MAX}")
    if not all(message for _, message in events):
        raise rows.invalid(
            "1 validation error detected: Value '' at 'logEvents.member.message' failed to"
            " satisfy constraint: Member must have length greater than or equal to 1"
        )
    stamps = [ts for ts, _ in events]
    if stamps[0] < 0 or any(a > b for a, b in pairwise(stamps)):
        raise rows.invalid(
            "Log events in a single PutLogEvents request must be in chronological order."
        )
    if stamps[-1] - stamps[0] > DAY_MS:
        raise rows.invalid(
            "The batch of log events in a single PutLogEvents request cannot span more than"
            " 24 hours."
        )


def _acceptable(
    events: list[tuple[int, str]], now_ms: int, retention_days: int | None
) -> tuple[int, int, dict[str, int]]:
    """(first, past last) of the events to keep, and what to tell of the rest. Events are in
    order, so the refused ones sit at the ends."""
    too_old = sum(ts < now_ms - AGE_MS_MAX for ts, _ in events)
    expired = 0
    if retention_days:
        expired = sum(ts < now_ms - retention_days * DAY_MS for ts, _ in events)
    future = sum(ts > now_ms + FUTURE_MS_MAX for ts, _ in events)
    rejected: dict[str, int] = {}
    if too_old:
        rejected["tooOldLogEventEndIndex"] = too_old
    if expired > too_old:
        rejected["expiredLogEventEndIndex"] = expired
    if future:
        rejected["tooNewLogEventStartIndex"] = len(events) - future
    return max(too_old, expired), len(events) - future, rejected
