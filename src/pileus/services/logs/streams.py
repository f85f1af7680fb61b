"""Log streams: CreateLogStream, DeleteLogStream, DescribeLogStreams.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_DescribeLogStreams.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.across import partly
from pileus.services.logs.events import StreamFacts
from pileus.services.logs.room import Room
from pileus.state.draft import Draft
from pileus.state.tx import Row

PAGE_MAX = 50


async def create_log_stream(room: Room, call: Call) -> None:
    """Make an empty stream in an existing group."""
    name = call.params["logStreamName"]
    rows.check_stream_name(name)
    stream = {"id": rows.new_id(room.clock), "name": name, "created": room.clock.now_ms()}
    group_key = rows.group_key(call.account, call.region, rows.group_name(call.params))

    def change(draft: Draft) -> None:
        group = draft.get_json(group_key)
        if group is None:
            raise rows.no_group()
        key = rows.stream_key(group["id"], name)
        if draft.get(key) is not None:
            raise AwsError(
                "ResourceAlreadyExistsException", "The specified log stream already exists"
            )
        draft.put_json(key, stream)

    await room.store.transact(change, call.invocation_id)


async def delete_log_stream(room: Room, call: Call) -> None:
    """Delete a stream and all its events."""
    name = call.params["logStreamName"]
    group_key = rows.group_key(call.account, call.region, rows.group_name(call.params))

    def change(draft: Draft) -> int:
        group = draft.get_json(group_key)
        if group is None:
            raise rows.no_group()
        key = rows.stream_key(group["id"], name)
        stream = draft.get_json(key)
        if stream is None:
            raise rows.no_stream()
        draft.delete(key)
        return int(stream["id"])

    stream_id = await room.store.transact(change, call.invocation_id)
    room.events.drop_stream(stream_id)


async def describe_log_streams(room: Room, call: Call) -> dict[str, Any]:
    """Streams by name, or by time of their last event (never with a name prefix)."""
    params = call.params
    prefix = params.get("logStreamNamePrefix") or ""
    order = params.get("orderBy") or "LogStreamName"
    if order not in ("LogStreamName", "LastEventTime"):
        raise rows.invalid("orderBy must be LogStreamName or LastEventTime.")
    if prefix and order == "LastEventTime":
        raise rows.invalid("Cannot order by LastEventTime with a logStreamNamePrefix.")
    limit = rows.limit_of(params, "limit", PAGE_MAX, PAGE_MAX)
    group = room.group(call)
    facts, missing = await room.across.facts(group["id"])
    page = _by_name if order == "LogStreamName" else _by_time
    found, token = page(room, call, group["id"], prefix, limit, facts)
    arn = rows.group_arn(call.account, call.region, group["name"])
    answer = {"logStreams": [_describe(arn, s, facts.get(s["id"])) for s in found]}
    return partly(answer | ({"nextToken": token} if token else {}), missing)


def _by_name(
    room: Room, call: Call, group: int, prefix: str, limit: int, facts: dict[int, StreamFacts]
) -> tuple[list[dict[str, Any]], str]:
    token = call.params.get("nextToken") or ""
    start, end = rows.span("logstreams", str(group), prefix, "")
    descending = bool(call.params.get("descending"))
    if token and descending:
        end = rows.stream_key(group, token)
    elif token:
        start = rows.stream_key(group, token) + b"\x00"
    found = _loads(room.store.range(start, end, limit + 1, descending))
    more = len(found) > limit
    return found[:limit], found[limit - 1]["name"] if more else ""


def _by_time(
    room: Room, call: Call, group: int, prefix: str, limit: int, facts: dict[int, StreamFacts]
) -> tuple[list[dict[str, Any]], str]:
    """All streams sorted by last event; the token is how many were already given."""
    token = call.params.get("nextToken") or "0"
    if not token.isdigit():
        raise rows.invalid("The specified nextToken is invalid.")
    start, end = rows.span("logstreams", str(group), "", "")
    streams = _loads(room.store.range(start, end, 1_000_000))
    last = {s["id"]: facts[s["id"]].last_ts if s["id"] in facts else 0 for s in streams}
    descending = bool(call.params.get("descending"))
    streams.sort(key=lambda s: (last[s["id"]], s["name"]), reverse=descending)
    upto = int(token) + limit
    return streams[int(token) : upto], str(upto) if upto < len(streams) else ""


def _loads(found: list[Row]) -> list[dict[str, Any]]:
    return [orjson.loads(row.value) for row in found]


def _describe(group_arn: str, stream: dict[str, Any], facts: StreamFacts | None) -> dict[str, Any]:
    answer = {
        "logStreamName": stream["name"],
        "creationTime": stream["created"],
        "arn": f"{group_arn}:log-stream:{stream['name']}",
        "storedBytes": 0,  # AWS answers 0 since June 2019
    }
    if facts is not None:
        answer["uploadSequenceToken"] = "49039859627048070284"  # of who wrote to it
        answer["firstEventTimestamp"] = facts.first_ts
        answer["lastEventTimestamp"] = facts.last_ts
        answer["lastIngestionTime"] = facts.ingested
    return answer
