"""What happened to an object, told in the entry that did it; and the consumer that passes it on.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/notification-content-structure.html
An event is a change record of topic ``s3``: durable with the change, delivered at least once.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote_plus

import orjson

from pileus.errors import AwsError
from pileus.hub.consumer import Consumer, Record, trim
from pileus.services.call import Call, Parts
from pileus.services.s3 import rows
from pileus.services.s3.names import bucket_arn, canonical_id
from pileus.services.s3.notifications import KIND, TELLER, affixes, call_function, covers, teller
from pileus.services.s3.room import Bucket
from pileus.services.s3.rows import Meta
from pileus.state.rules import Rule
from pileus.state.tx import Tx

log = logging.getLogger("pileus.s3")
TOPIC = "s3"
_CREATED = {
    "PutObject": "Put",
    "PostObject": "Post",
    "CopyObject": "Copy",
    "CompleteMultipartUpload": "CompleteMultipartUpload",
}
_EDITED = {
    "PutObjectTagging": "s3:ObjectTagging:Put",
    "DeleteObjectTagging": "s3:ObjectTagging:Delete",
    "PutObjectAcl": "s3:ObjectAcl:Put",
}


def told(bucket: Bucket, rule: str, args: Any, call: Call) -> list[Any]:
    """The events a rule of this service will cause, for those rules of the bucket's notifications
    that ask for them: [[kinds, function's ARN, bucket's owner, event], …]; mostly none."""
    rules = bucket.settings.get(KIND)
    if not rules:
        return []
    name = _name(rule, args, call)
    if not name:
        return []
    # Whether a delete leaves a marker is known only when it is applied.
    kinds = [name] if name != "s3:ObjectRemoved:*" else [f"{name[:-1]}Delete", MARKER]
    return _wanted(bucket, kinds, args[1], lambda: _event(bucket, args[1], _meta(rule, args), call))


def by_service(bucket: Bucket, kinds: Sequence[str], key: str, meta: Meta) -> list[Any]:
    """The same, for what the service itself does to a version in its own time."""
    return _wanted(bucket, kinds, key, lambda: _own_event(bucket, key, meta))


def _wanted(
    bucket: Bucket, kinds: Sequence[str], key: str, make: Callable[[], dict[str, Any]]
) -> list[Any]:
    out = []
    for each in bucket.settings.get(KIND) or []:
        prefix, suffix = affixes(each)
        found = [k for k in kinds if covers(each["Events"], k)]
        if found and key.startswith(prefix) and key.endswith(suffix):
            event = make()
            event["s3"]["configurationId"] = each["Id"]
            out.append([found, each["LambdaFunctionArn"], bucket.owner, event])
    return out


RESTORE = "s3:ObjectRestore:Post"
MARKER = "s3:ObjectRemoved:DeleteMarkerCreated"


def _name(rule: str, args: Any, call: Call) -> str:
    if rule == "s3.put":
        return f"s3:ObjectCreated:{_CREATED.get(call.operation, 'Put')}"
    if rule == "s3.complete_upload":
        return "s3:ObjectCreated:CompleteMultipartUpload"
    if rule == "s3.delete":
        return "s3:ObjectRemoved:Delete" if args[2] is not None else "s3:ObjectRemoved:*"
    if rule == "s3.restore":
        return RESTORE
    return _EDITED.get(call.operation, "") if rule == "s3.edit" else ""


def _meta(rule: str, args: Any) -> Meta | None:
    place = {"s3.put": 2, "s3.complete_upload": 3}.get(rule)
    return rows.unpack_meta(args[place]) if place is not None else None


def _event(bucket: Bucket, key: str, meta: Meta | None, call: Call) -> dict[str, Any]:
    principal = call.principal
    who = principal.id or principal.account
    event = _of(bucket, key, meta, f"AWS:{who}" if who else "Anonymous")
    event["requestParameters"]["sourceIPAddress"] = (
        call.request.remote if call.request is not None else "127.0.0.1"
    )
    event["responseElements"]["x-amz-request-id"] = call.request_id
    return event


def _own_event(bucket: Bucket, key: str, meta: Meta) -> dict[str, Any]:
    event = _of(bucket, key, meta, TELLER)
    event["requestParameters"]["sourceIPAddress"] = TELLER
    return event


def _of(bucket: Bucket, key: str, meta: Meta | None, who: str) -> dict[str, Any]:
    thing: dict[str, Any] = {"key": quote_plus(key, safe="/")}
    if meta is not None:
        thing |= {"size": meta.size, "eTag": meta.etag}
    return {
        "eventVersion": "2.1",
        "eventSource": "aws:s3",
        "awsRegion": bucket.region,
        "userIdentity": {"principalId": who},
        "requestParameters": {},
        "responseElements": {"x-amz-request-id": "", "x-amz-id-2": ""},
        "s3": {
            "s3SchemaVersion": "1.0",
            "bucket": {
                "name": bucket.name,
                "ownerIdentity": {"principalId": canonical_id(bucket.owner)},
                "arn": bucket_arn(bucket.name),
            },
            "object": thing,
        },
    }


def noting(rules: Mapping[str, Rule]) -> Rule:
    """The rule ``s3.noted``: ``[rule, its arguments, events]``: run it, tell what it did."""

    def noted(tx: Tx, args: list[Any]) -> Any:
        name, inner, events = args
        result = rules[name](tx, inner)
        for kinds, arn, owner, event in events:
            record = _finished(kinds, event, name, inner, result, tx)
            if record is not None:
                tx.change(TOPIC, orjson.dumps({"arn": arn, "owner": owner, "event": record}))
        return result

    return noted


def tell(tx: Tx, events: list[Any], kind: str, version: str, more: dict[str, Any]) -> None:
    """Record what the service did of its own, for those events that ask for ``kind``; ``more``:
    further members of the event."""
    for kinds, arn, owner, event in events:
        if kind in kinds:
            record = {**finished(event, kind, version, tx), **more}
            tx.change(TOPIC, orjson.dumps({"arn": arn, "owner": owner, "event": record}))


def _finished(
    kinds: list[str], event: dict[str, Any], rule: str, inner: Any, result: Any, tx: Tx
) -> dict[str, Any] | None:
    """The event with what only apply knows: its kind, the version, the sequencer."""
    kind, version = kinds[0], result
    if rule == "s3.delete":
        made = bool(result["marker"]) and inner[2] is None
        kind = MARKER if made else "s3:ObjectRemoved:Delete"
        version = result["version"]
        if kind not in kinds:
            return None
    if rule == "s3.restore":
        if result:  # a copy that was there lasts longer: nothing began
            return None
        version = inner[2]
    return finished(event, kind, version, tx)


def finished(event: dict[str, Any], kind: str, version: str | None, tx: Tx) -> dict[str, Any]:
    """An event with its kind, its version and its place among others."""
    at_ms = tx.now_ms
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ms // 1000))
    thing = {**event["s3"]["object"], "sequencer": f"{tx.sequence:016X}"}
    if version:
        thing["versionId"] = version
    return {
        **event,
        "eventTime": f"{moment}.{at_ms % 1000:03d}Z",
        "eventName": kind.removeprefix("s3:"),
        "s3": {**event["s3"], "object": thing},
    }


class Teller:
    """Passes events on to functions, in the order they happened."""

    def __init__(self, parts: Parts, owner: str) -> None:
        self._parts = parts
        self._consumer = Consumer(
            parts.store, parts.clock, TOPIC, "notifications", self._handle, owner=owner
        )

    def start(self) -> None:
        self._consumer.start()

    async def stop(self) -> None:
        await self._consumer.stop()

    async def _handle(self, records: Sequence[Record]) -> None:
        for record in records:
            await self._tell(orjson.loads(record.payload))
        await trim(self._parts.store, TOPIC)

    async def _tell(self, payload: dict[str, Any]) -> None:
        event = payload["event"]
        principal, context = teller(event["s3"]["bucket"]["name"], payload["owner"])
        body = orjson.dumps({"Records": [event]})
        try:
            await call_function(self._parts, payload["arn"], body, "Event", principal, context)
        except AwsError as error:
            if error.status >= 500 or error.status == 429:
                raise
            # The function is gone or no longer lets S3 call it: its owner's wish.
            log.warning("%s is not told of %s: %s", payload["arn"], event["eventName"], error)
