"""PutObject (https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutObject.html).

Answers after the bytes are durable and the entry is committed; the condition is decided in apply.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Headers, HttpResponse
from pileus.services.s3 import acl, checksums, encryption, faults, object_lock, rows
from pileus.services.s3.headers import kept, tags_of
from pileus.services.s3.ingest import Body, receive
from pileus.services.s3.lifecycle import expiration_headers
from pileus.services.s3.names import check_key
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta


async def put_object(room: Room, call: Call) -> HttpResponse:
    """Store the request's body under the key."""
    request = call.request
    assert request is not None
    headers = request.headers
    name, key = call.params["Bucket"], check_key(call.params["Key"])
    bucket = room.bucket(name)
    conditions = write_conditions(headers)
    told = kept(headers)
    tags = tags_of(headers.get("x-amz-tagging"))
    owner, grants = acl.of_write(headers, bucket, call.account)
    lock = object_lock.of_headers(headers, bucket, room.clock.now_ms())
    object_lock.require_digest(headers)
    sealer = await encryption.for_write(room, call, bucket, key, headers)
    body = await receive(room, request, sealer)
    meta = Meta(
        body.etag,
        body.size,
        room.clock.now_ms(),
        told,
        owner,
        body.blob,
        checks=body.checks or {},
        tags=tags,
        grants=grants,
        lock=lock,
        seal=body.seal,
    )
    version = await commit(room, call, name, key, meta, body, conditions)
    answer: Headers = [("etag", f'"{body.etag}"')]
    answer += encryption.answer_headers(meta.seal, headers)
    if version is not None:
        answer.append(("x-amz-version-id", version))
    answer += expiration_headers(bucket, key, meta)
    if meta.checks:
        answer += checksums.answer_headers(meta.checks, "")
    return HttpResponse(200, answer)


async def commit(
    room: Room,
    call: Call,
    name: str,
    key: str,
    meta: Meta,
    body: Body,
    conditions: dict[str, Any],
    sources: list[Any] | None = None,
) -> Any:
    """Submit the entry that makes ``meta`` the current version; answers its version id."""
    token = room.clock.random_bytes(16)
    packed = rows.pack_meta(meta)
    return await room.submit(
        "s3.put", [name, key, packed, body.data, conditions, token, sources or []], call
    )


def write_conditions(headers: dict[str, str]) -> dict[str, Any]:
    """If-Match and If-None-Match of a write.

    The API reference of PutObject, CopyObject and CompleteMultipartUpload: If-None-Match "expects
    the '*' (asterisk) character", If-Match "expects the ETag value as a string"; S3 refuses any
    other value with 501 NotImplemented."""
    none_match = headers.get("if-none-match")
    match = headers.get("if-match")
    if none_match is not None and match is not None:
        raise faults.not_built(
            "If-Match,If-None-Match", "Multiple conditional request headers present in the request"
        )
    if none_match is not None:
        if none_match.strip() != "*":
            raise _value_not_built("If-None-Match")
        return {"none_match": "*"}
    if match is not None:
        etag = match.strip().strip('"')
        if etag == "*":
            raise _value_not_built("If-Match")
        return {"match": etag}
    return {}


def _value_not_built(name: str) -> AwsError:
    return faults.not_built(
        name, f"We don't accept the provided value of {name} header for this API"
    )
