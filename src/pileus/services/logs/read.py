"""Reading events back: GetLogEvents, FilterLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.events import FIRST, LAST, Event, Place, digits, place_of
from pileus.services.logs.pattern import compile_pattern
from pileus.services.logs.room import Room

EVENTS_MAX = 10_000
ANSWER_BYTES_MAX = 1_048_576
SCAN_EVENTS_MAX = 50_000  # one FilterLogEvents call looks at no more, then answers a token


async def get_log_events(room: Room, call: Call) -> dict[str, Any]:
    """A page of one stream, ascending. Without a token the newest page, or the oldest with
    ``startFromHead``. The end of the stream answers the token it was asked with."""
    params = call.params
    limit = rows.limit_of(params, "limit", EVENTS_MAX, EVENTS_MAX)
    stream = room.stream(room.group(call), params["logStreamName"])
    low, high = _from(params.get("startTime")), _before(params.get("endTime"))
    backward = not params.get("startFromHead")
    token = params.get("nextToken")
    if token:
        place, backward = _token(token)
        low, high = (low, min(high, place)) if backward else (max(low, place), high)
    events = await asyncio.to_thread(
        room.events.read, "stream", stream["id"], low, high, limit, backward
    )
    events = _fit(events)
    if backward:
        events.reverse()
    empty = (high, high) if backward else (low, low)
    first, last = (events[0].place, events[-1].place) if events else empty
    return {
        "events": [
            {"timestamp": e.ts, "message": e.message, "ingestionTime": e.ingested} for e in events
        ],
        "nextForwardToken": f"f/{digits(last)}",
        "nextBackwardToken": f"b/{digits(first)}",
    }


async def filter_log_events(room: Room, call: Call) -> dict[str, Any]:
    """Events of a group's streams that match a pattern, oldest first, page by page."""
    params = call.params
    limit = rows.limit_of(params, "limit", EVENTS_MAX, EVENTS_MAX)
    matches = compile_pattern(params.get("filterPattern") or "")
    group = room.group(call)
    names = _stream_names(room, group, params)
    low, high = _from(params.get("startTime")), _upto(params.get("endTime"))
    if params.get("nextToken"):
        low = max(low, _next_place(params["nextToken"]))
    found, place = await asyncio.to_thread(_search, room, group, names, matches, low, high, limit)
    answer: dict[str, Any] = {
        "events": [
            {
                "logStreamName": names[e.stream],
                "timestamp": e.ts,
                "message": e.message,
                "ingestionTime": e.ingested,
                "eventId": digits(e.place),
            }
            for e in found
        ],
        "searchedLogStreams": [],
    }
    return answer | ({"nextToken": digits(place)} if place else {})


def _search(
    room: Room,
    group: dict[str, Any],
    names: dict[int, str],
    matches: Any,
    low: Place,
    high: Place,
    limit: int,
) -> tuple[list[Event], Place | None]:
    """Matching events above ``low``, and the place to go on from (None at the end)."""
    found: list[Event] = []
    scanned = size = 0
    while scanned < SCAN_EVENTS_MAX:
        batch = room.events.read("grp", group["id"], low, high, 2000)
        for event in batch:
            if event.stream in names and matches(event.message):
                size += len(event.message)
                if len(found) == limit or (found and size > ANSWER_BYTES_MAX):
                    return found, low
                found.append(event)
            low = event.place
        scanned += len(batch)
        if len(batch) < 2000:
            return found, None
    return found, low


def _stream_names(room: Room, group: dict[str, Any], params: dict[str, Any]) -> dict[int, str]:
    """Stream id → name of the streams to search."""
    wanted, prefix = params.get("logStreamNames"), params.get("logStreamNamePrefix") or ""
    if wanted and prefix:
        raise rows.invalid(
            "logStreamNames and logStreamNamePrefix are mutually exclusive parameters."
        )
    if wanted:
        streams = [room.stream(group, name) for name in wanted]
    else:
        start, end = rows.span("logstreams", str(group["id"]), prefix, "")
        streams = [orjson.loads(row.value) for row in room.store.range(start, end, 1_000_000)]
    return {stream["id"]: stream["name"] for stream in streams}


def _fit(events: list[Event]) -> list[Event]:
    """The first events that fit one answer of 1 MB."""
    size = 0
    for at, event in enumerate(events):
        size += len(event.message) + 26
        if at and size > ANSWER_BYTES_MAX:
            return events[:at]
    return events


def _from(start_time: int | None) -> Place:
    return FIRST if start_time is None else (start_time, 0)


def _before(end_time: int | None) -> Place:
    """GetLogEvents: events at ``endTime`` are not included."""
    return LAST if end_time is None else (end_time, 0)


def _upto(end_time: int | None) -> Place:
    """FilterLogEvents: events at ``endTime`` are included."""
    return LAST if end_time is None else (end_time, LAST[1])


def _token(token: str) -> tuple[Place, bool]:
    """The place a GetLogEvents token names, and whether it leads backward."""
    if token[:2] not in ("f/", "b/"):
        raise rows.invalid("The specified nextToken is invalid.")
    return _next_place(token[2:]), token[0] == "b"


def _next_place(token: str) -> Place:
    try:
        return place_of(token)
    except ValueError:
        raise AwsError("InvalidParameterException", "The specified nextToken is invalid.") from None
