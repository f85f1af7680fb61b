"""DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.

A stream is a topic of change records, one open shard each. A record's sequence number is its
place in the log, as 21 digits. Records live for 24 hours (the chores trim them); an iterator for 15
minutes. A stream switched off, or of a deleted table, can be read out for a day: its shard is
closed then (``stream_rows.py``).
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable
from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, Call, HttpResponse, Parts
from pileus.services.dynamodb.access import owner_of, read_body
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.faults import invalid, not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.stream_rows import (
    BEGINNING,
    Place,
    Stream,
    every,
    find,
    latest,
    split_arn,
    trimmed,
)
from pileus.services.service import Service

ITERATOR_MS = 15 * 60 * 1000
RECORDS_MAX = 1000
ANSWER_BYTES_MAX = 1024 * 1024
SEQUENCE_BASE = 10**20
INDEX_SPAN = 10**5
Handler = Callable[[Room, Call, dict[str, Any]], dict[str, Any]]


def build(parts: Parts) -> Service:
    """The ``dynamodbstreams`` service over ``parts``."""
    room = Room(parts, model="dynamodbstreams")
    operations: dict[str, Handler] = {
        "ListStreams": list_streams,
        "DescribeStream": describe_stream,
        "GetShardIterator": get_shard_iterator,
        "GetRecords": get_records,
    }
    direct = {name: partial(_run, handler, room) for name, handler in operations.items()}
    return Service("dynamodbstreams", {}, partial(_access, room), direct)


def _run(handler: Handler, room: Room, call: Call) -> HttpResponse:
    params = room.parse(call.operation, call.params)
    return respond(call, orjson.dumps(handler(room, call, params)))


def _access(room: Room, call: Call) -> list[Access]:
    """Permissions are on the stream's ARN (``…:table/NAME/stream/LABEL``), which may have a policy
    of its own."""
    read_body(call)
    arn = call.params.get("StreamArn")
    if call.operation == "GetRecords":
        arn = str(call.params.get("ShardIterator", "")).partition("|")[0]
    action = f"dynamodb:{call.operation}"
    arn = arn if isinstance(arn, str) and arn else "*"
    return [Access(action, arn, _policy(room, arn), owner_of(arn))]


def _policy(room: Room, arn: str) -> dict[str, Any] | None:
    try:
        return find(room, arn).policy
    except AwsError:  # the operation says what is wrong
        return None


# -- finding ------------------------------------------------------------------------------------


def shard_id(stream: Stream) -> str:
    """The one shard of a stream."""
    digest = hashlib.sha256(stream.label.encode()).hexdigest()[:8]
    return f"shardId-{stream.from_ms:020d}-{digest}"


def sequence_number(place: Place) -> str:
    """A place in the log as the API shows it."""
    return str(SEQUENCE_BASE + place[0] * INDEX_SPAN + place[1])


def _place(text: str) -> Place:
    if not text.isascii() or not text.isdigit() or int(text) < SEQUENCE_BASE:
        raise invalid(f"Invalid SequenceNumber: {text}")
    return divmod(int(text) - SEQUENCE_BASE, INDEX_SPAN)


# -- operations -----------------------------------------------------------------------------------


def list_streams(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Streams of all tables, or of one, in pages of up to a hundred."""
    wanted = p.get("TableName")
    limit = p.get("Limit", 100)
    after = p.get("ExclusiveStartStreamArn", "")
    if after:
        split_arn(after)
    found = [
        s
        for s in every(room, f"{call.account}/{call.region}")
        if wanted in (None, s.table_name, s.table_arn) and s.arn > after
    ]
    out: dict[str, Any] = {"Streams": [_summary(s) for s in found[:limit]]}
    if len(found) > limit:
        out["LastEvaluatedStreamArn"] = found[limit - 1].arn
    return out


def _summary(stream: Stream) -> dict[str, Any]:
    return {
        "StreamArn": stream.arn,
        "TableName": stream.table_name,
        "StreamLabel": stream.label,
    }


def describe_stream(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A stream, its view and its shard. What was trimmed is no longer in the shard's range."""
    stream = find(room, p["StreamArn"])
    first, ended = trimmed(room, stream.topic), stream.until_ms is not None
    start = max((0, 0), (first[0], first[1] + 1))
    numbers = {"StartingSequenceNumber": sequence_number(start)}
    if ended:
        last = max(latest(room, stream.topic), start)
        numbers["EndingSequenceNumber"] = sequence_number(last)
    shard = {"ShardId": shard_id(stream), "SequenceNumberRange": numbers}
    after = p.get("ExclusiveStartShardId")
    shards = [] if after is not None and after >= shard["ShardId"] else [shard]
    if "ShardFilter" in p:
        shards = _children(stream, p["ShardFilter"])
    return {
        "StreamDescription": {
            **_summary(stream),
            "StreamStatus": "DISABLED" if ended else "ENABLED",
            "StreamViewType": stream.view,
            "CreationRequestDateTime": stream.from_ms / 1000,
            "KeySchema": stream.key_schema,
            "Shards": shards,
        }
    }


def _children(stream: Stream, wanted: dict[str, str]) -> list[dict[str, Any]]:
    """The shards that follow one: none, a stream has one shard for its whole life."""
    for member in ("Type", "ShardId"):
        if member not in wanted:
            raise invalid(f"ShardFilter.{member} must be given")
    if wanted["ShardId"] != shard_id(stream):
        raise not_found(
            f"Requested resource not found: Shard: {wanted['ShardId']} in stream {stream.arn}"
            " not found"
        )
    return []


def get_shard_iterator(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A place in the shard to read on from."""
    arn, kind = p["StreamArn"], p["ShardIteratorType"]
    stream = find(room, arn)
    if p["ShardId"] != shard_id(stream):
        raise not_found(
            f"Requested resource not found: Shard: {p['ShardId']} in stream {arn} not found"
        )
    after = BEGINNING
    if kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        if "SequenceNumber" not in p:
            raise invalid(f"SequenceNumber is required for ShardIteratorType {kind}")
        sequence, index = _place(p["SequenceNumber"])
        after = (sequence, index - 1 if kind[:2] == "AT" else index)
        _check_there(room, stream, after)
    elif "SequenceNumber" in p:
        raise invalid(f"SequenceNumber must not be given for ShardIteratorType {kind}")
    elif kind == "LATEST":
        after = latest(room, stream.topic)
    return {"ShardIterator": _iterator(room, arn, after)}


def _check_there(room: Room, stream: Stream, after: Place) -> None:
    """TrimmedDataAccessException for a place below what was trimmed."""
    if after < trimmed(room, stream.topic):
        raise AwsError(
            "TrimmedDataAccessException",
            "The operation attempted to read past the oldest stream record in a shard.",
        )


def _iterator(room: Room, arn: str, after: Place) -> str:
    told = orjson.dumps([*after, room.clock.now_ms()])
    return f"{arn}|1|{base64.b64encode(told).decode()}"


def _open_iterator(room: Room, text: str) -> tuple[str, Place]:
    try:
        arn, _, told = text.split("|")
        sequence, index, at_ms = orjson.loads(base64.b64decode(told, validate=True))
        after = (int(sequence), int(index))
        expires_ms = int(at_ms) + ITERATOR_MS
    except (ValueError, TypeError, binascii.Error):
        raise invalid("Invalid ShardIterator") from None
    if not (0 <= after[0] < 2**63 and -1 <= after[1] < 2**31):
        raise invalid("Invalid ShardIterator")
    if expires_ms < room.clock.now_ms():
        raise AwsError(
            "ExpiredIteratorException",
            "The shard iterator has expired. Iterators expire 15 minutes after they are given.",
        )
    return arn, after


def get_records(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Records after the iterator's place, up to 1,000 or one megabyte."""
    arn, after = _open_iterator(room, p["ShardIterator"])
    stream = find(room, arn)
    if after != BEGINNING:
        _check_there(room, stream, after)
    limit = p.get("Limit", RECORDS_MAX)
    records: list[dict[str, Any]] = []
    size = 0
    for sequence, index, payload in room.store.changes(stream.topic, after, limit):
        size += len(payload)
        if records and size > ANSWER_BYTES_MAX:
            break
        after = (sequence, index)
        records.append(_record(call.region, after, orjson.loads(payload)))
    out: dict[str, Any] = {"Records": records}
    drained = stream.until_ms is not None and not records
    if not drained:
        out["NextShardIterator"] = _iterator(room, arn, after)
    return out


def _record(region: str, place: Place, change: dict[str, Any]) -> dict[str, Any]:
    """A change record as the API shows it (DynamoDB Streams API, ``Record``)."""
    number = sequence_number(place)
    told: dict[str, Any] = {
        "ApproximateCreationDateTime": change["time"] // 1000,
        "Keys": change["keys"],
        "SequenceNumber": number,
        "SizeBytes": change["size"],
        "StreamViewType": change["view"],
    }
    for mine, theirs in (("new", "NewImage"), ("old", "OldImage")):
        if mine in change:
            told[theirs] = change[mine]
    record = {
        "eventID": hashlib.md5(number.encode(), usedforsecurity=False).hexdigest(),
        "eventName": change["name"],
        "eventVersion": "1.1",
        "eventSource": "aws:dynamodb",
        "awsRegion": region,
        "dynamodb": told,
    }
    if "by" in change:  # stored as a function's event spells it; the API's members have capitals
        record["userIdentity"] = {f"{n[0].upper()}{n[1:]}": v for n, v in change["by"].items()}
    return record
