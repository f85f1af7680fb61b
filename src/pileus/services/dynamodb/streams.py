"""DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator, GetRecords.

A stream is a topic of change records, one open shard each. A record's sequence number is its
place in the log, as 21 digits. Records live for 24 hours (the chores trim them); an iterator for 15
minutes. A table keeps the labels of its streams, so that one switched off can be read out.
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
from pileus.services.call import Access, Call, HttpResponse, Parts, Service
from pileus.services.dynamodb.access import owner_of, read_body
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.faults import invalid, not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table, topic
from pileus.state import keys

ITERATOR_MS = 15 * 60 * 1000
RECORDS_MAX = 1000
ANSWER_BYTES_MAX = 1024 * 1024
SEQUENCE_BASE = 10**20
INDEX_SPAN = 10**5
BEGINNING = (0, -1)
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
    return Service("dynamodbstreams", {}, _access, direct)


def _run(handler: Handler, room: Room, call: Call) -> HttpResponse:
    params = room.parse(call.operation, call.params)
    return respond(call, orjson.dumps(handler(room, call, params)))


def _access(call: Call) -> list[Access]:
    """Permissions are on the stream's ARN (``…:table/NAME/stream/LABEL``)."""
    read_body(call)
    arn = call.params.get("StreamArn")
    if call.operation == "GetRecords":
        arn = str(call.params.get("ShardIterator", "")).partition("|")[0]
    action = f"dynamodb:{call.operation}"
    arn = arn if isinstance(arn, str) and arn else "*"
    return [Access(action, arn, owner=owner_of(arn))]


# -- finding ------------------------------------------------------------------------------------


def _find(room: Room, call: Call, arn: str) -> tuple[Table, dict[str, Any]]:
    """The table of a stream's ARN and the stream's own record."""
    name, _, label = arn.partition("/stream/")
    table = room.tables.find(call.account, call.region, name) if name.startswith("arn:") else None
    for stream in table.description.get("streams", ()) if table else ():
        if stream["label"] == label and table is not None:
            return table, stream
    raise not_found(f"Requested resource not found: Stream: {arn} not found")


def shard_id(stream: dict[str, Any]) -> str:
    """The one shard of a stream."""
    digest = hashlib.sha256(stream["label"].encode()).hexdigest()[:8]
    return f"shardId-{stream['from_ms']:020d}-{digest}"


def sequence_number(place: tuple[int, int]) -> str:
    """A place in the log as the API shows it."""
    return str(SEQUENCE_BASE + place[0] * INDEX_SPAN + place[1])


def _place(text: str) -> tuple[int, int]:
    if not text.isascii() or not text.isdigit() or int(text) < SEQUENCE_BASE:
        raise invalid(f"Invalid SequenceNumber: {text}")
    return divmod(int(text) - SEQUENCE_BASE, INDEX_SPAN)


def _latest(room: Room, name: str) -> tuple[int, int]:
    """The place of the newest record of a topic."""
    prefix = keys.partition_prefix("changes", name)
    rows = room.store.range(prefix, keys.after_prefix(prefix), 1, True)
    if not rows:
        return BEGINNING
    at = keys.split(rows[0].key)[2]
    return int.from_bytes(at[:8], "big"), int.from_bytes(at[8:], "big")


# -- operations -----------------------------------------------------------------------------------


def list_streams(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Streams of all tables, or of one, in pages of up to a hundred."""
    wanted = p.get("TableName")
    limit = p.get("Limit", 100)
    found = []
    for table in room.tables.all(f"{call.account}/{call.region}"):
        if wanted in (None, table.name, table.description["TableArn"]):
            found += [_summary(table, s) for s in table.description.get("streams", ())]
    found.sort(key=lambda s: s["StreamArn"])
    after = p.get("ExclusiveStartStreamArn", "")
    rest = [s for s in found if s["StreamArn"] > after]
    out: dict[str, Any] = {"Streams": rest[:limit]}
    if len(rest) > limit:
        out["LastEvaluatedStreamArn"] = rest[limit - 1]["StreamArn"]
    return out


def _summary(table: Table, stream: dict[str, Any]) -> dict[str, Any]:
    return {
        "StreamArn": f"{table.description['TableArn']}/stream/{stream['label']}",
        "TableName": table.name,
        "StreamLabel": stream["label"],
    }


def describe_stream(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A stream, its view and its shard."""
    table, stream = _find(room, call, p["StreamArn"])
    numbers = {"StartingSequenceNumber": sequence_number((0, 0))}
    ended = "until_ms" in stream
    if ended:
        numbers["EndingSequenceNumber"] = sequence_number(
            max(_latest(room, topic(table.id, stream["label"])), (0, 0))
        )
    shard = {"ShardId": shard_id(stream), "SequenceNumberRange": numbers}
    after = p.get("ExclusiveStartShardId")
    return {
        "StreamDescription": {
            **_summary(table, stream),
            "StreamStatus": "DISABLED" if ended else "ENABLED",
            "StreamViewType": stream["view"],
            "CreationRequestDateTime": stream["from_ms"] / 1000,
            "KeySchema": table.description["KeySchema"],
            "Shards": [] if after is not None and after >= shard["ShardId"] else [shard],
        }
    }


def get_shard_iterator(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """A place in the shard to read on from."""
    arn, kind = p["StreamArn"], p["ShardIteratorType"]
    table, stream = _find(room, call, arn)
    if p["ShardId"] != shard_id(stream):
        raise not_found(
            f"Requested resource not found: Shard: {p['ShardId']} in stream {arn} not found"
        )
    after = BEGINNING
    if kind == "LATEST":
        after = _latest(room, topic(table.id, stream["label"]))
    elif kind in ("AT_SEQUENCE_NUMBER", "AFTER_SEQUENCE_NUMBER"):
        if "SequenceNumber" not in p:
            raise invalid(f"SequenceNumber is required for ShardIteratorType {kind}")
        sequence, index = _place(p["SequenceNumber"])
        after = (sequence, index - 1 if kind[:2] == "AT" else index)
    elif "SequenceNumber" in p:
        raise invalid(f"SequenceNumber must not be given for ShardIteratorType {kind}")
    return {"ShardIterator": _iterator(room, arn, after)}


def _iterator(room: Room, arn: str, after: tuple[int, int]) -> str:
    told = orjson.dumps([*after, room.clock.now_ms()])
    return f"{arn}|1|{base64.b64encode(told).decode()}"


def _open_iterator(room: Room, text: str) -> tuple[str, tuple[int, int]]:
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
    table, stream = _find(room, call, arn)
    limit = p.get("Limit", RECORDS_MAX)
    name = topic(table.id, stream["label"])
    records: list[dict[str, Any]] = []
    size = 0
    for sequence, index, payload in room.store.changes(name, after, limit):
        size += len(payload)
        if records and size > ANSWER_BYTES_MAX:
            break
        after = (sequence, index)
        records.append(_record(call.region, after, orjson.loads(payload)))
    out: dict[str, Any] = {"Records": records}
    drained = "until_ms" in stream and not records
    if not drained:
        out["NextShardIterator"] = _iterator(room, arn, after)
    return out


def _record(region: str, place: tuple[int, int], change: dict[str, Any]) -> dict[str, Any]:
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
    return record | ({"userIdentity": change["by"]} if "by" in change else {})
