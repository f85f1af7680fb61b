"""Reading events back: GetLogEvents, FilterLogEvents.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_GetLogEvents.html
https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_FilterLogEvents.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.across import partly
from pileus.services.logs.events import FIRST, LAST, Place, digits, place_of
from pileus.services.logs.room import Room
from pileus.services.logs.search import EVENTS_MAX


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
    found, missing = await room.across.page(stream["id"], low, high, limit, backward)
    events = found.events
    if backward:
        events.reverse()
    empty = (high, high) if backward else (low, low)
    first, last = (events[0].place, events[-1].place) if events else empty
    answer = {
        "events": [
            {"timestamp": e.ts, "message": e.message, "ingestionTime": e.ingested} for e in events
        ],
        "nextForwardToken": f"f/{digits(last)}",
        "nextBackwardToken": f"b/{digits(first)}",
    }
    return partly(answer, missing)


async def filter_log_events(room: Room, call: Call) -> dict[str, Any]:
    """Events of a group's streams that match a pattern, oldest first, page by page."""
    params = call.params
    limit = rows.limit_of(params, "limit", EVENTS_MAX, EVENTS_MAX)
    pattern = params.get("filterPattern") or ""
    group = room.group(call)
    names = _stream_names(room, group, params)
    low, high = _from(params.get("startTime")), _upto(params.get("endTime"))
    if params.get("nextToken"):
        low = max(low, _next_place(params["nextToken"]))
    some = params.get("logStreamNames") or params.get("logStreamNamePrefix")
    streams = set(names) if some else None
    (found, place), missing = await room.across.search(
        group["id"], streams, pattern, low, high, limit
    )
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
            if e.stream in names  # others were deleted
        ],
        "searchedLogStreams": [],
    }
    return partly(answer | ({"nextToken": digits(place)} if place else {}), missing)


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
