"""GetObject and HeadObject.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
Small objects are answered from their row; larger ones are sent from the blob's file.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Mapping

from pileus.errors import AwsError
from pileus.services.call import Call, Headers, HttpRequest, HttpResponse
from pileus.services.s3 import (
    archive,
    checksums,
    encryption,
    faults,
    object_lock,
    reading,
    rows,
)
from pileus.services.s3.conditions import check_read
from pileus.services.s3.encryption import Secrets
from pileus.services.s3.headers import http_date
from pileus.services.s3.layout import span_of_part
from pileus.services.s3.lifecycle import expiration_headers
from pileus.services.s3.query import query_of
from pileus.services.s3.ranges import parse_range
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Meta

_LATIN = re.compile(r"[^\r\n\u0100-\U0010ffff]*")
_NONE: dict[str, str] = {}
_OVERRIDES = {
    "response-content-type": "content-type",
    "response-content-language": "content-language",
    "response-expires": "expires",
    "response-cache-control": "cache-control",
    "response-content-disposition": "content-disposition",
    "response-content-encoding": "content-encoding",
}


def get_object(room: Room, call: Call) -> HttpResponse | Awaitable[HttpResponse]:
    """The object's bytes, or the range asked for."""
    if call.scratch is not None:
        return _answer(room, call, call.scratch, head=False)
    return _search(room, call, head=False)


async def head_object(room: Room, call: Call) -> HttpResponse:
    """The same answer without its body, which the door leaves out; an error's too."""
    return await _search(room, call, head=True)


async def _search(room: Room, call: Call, head: bool) -> HttpResponse:
    """Whoever may not list does not learn that a key is absent."""
    found = call.scratch
    if found is None:
        name, key = call.params["Bucket"], call.params["Key"]
        try:
            found = room.find(name, key, query_of(call).get("versionId"))
        except AwsError as error:
            if error.code == "NoSuchKey" and not await room.may_list(call, name, key):
                raise faults.access_denied() from error
            raise
    answer = _answer(room, call, found, head)
    return answer if isinstance(answer, HttpResponse) else await answer


def _answer(
    room: Room, call: Call, found: tuple[bytes, bytes, Meta], head: bool
) -> HttpResponse | Awaitable[HttpResponse]:
    request = call.request
    assert request is not None
    query = query_of(call)
    _, value, meta = found
    if meta.marker:
        raise AwsError(
            "MethodNotAllowed",
            "The specified method is not allowed against this resource.",
            405,
            fields={"Method": request.method, "ResourceType": "DeleteMarker"},
            headers=(
                ("allow", "DELETE"),
                ("x-amz-delete-marker", "true"),
                ("x-amz-version-id", meta.version or "null"),
                ("last-modified", http_date(meta.modified_ms)),
            ),
        )
    bucket = room.bucket(call.params["Bucket"])
    customer = encryption.check_read(call, meta, request.headers)
    headers = described(meta, bool(bucket.versioning), request.headers)
    if check_read(request.headers, meta, room.clock.now_ms()):
        return HttpResponse(304, [h for h in headers if h[0] != "content-type"])
    named = "versionId" in query  # then AWS does not tell it (recorded), were it the current one
    if not named and found[0] == rows.current(bucket.name, call.params["Key"]):
        headers += expiration_headers(bucket, call.params["Key"], meta)
    if meta.restore is not None:
        headers += archive.answer_headers(meta, room.clock.now_ms())
    if not head:
        archive.guard(meta, room.clock.now_ms())
    if meta.tags:
        headers.append(("x-amz-tagging-count", str(len(meta.tags))))
    if query:
        headers = _overridden(headers, query, call)
    rest = (request, query, value, meta, headers)
    secrets = encryption.quick_unlock(room, meta.seal, customer)
    if secrets is None and not head:
        return _unlocked(room, call, bucket, *rest)
    return _bytes(room, secrets, *rest)


async def _unlocked(
    room: Room,
    call: Call,
    bucket: Bucket,
    request: HttpRequest,
    query: Mapping[str, str],
    value: bytes,
    meta: Meta,
    headers: Headers,
) -> HttpResponse:
    """The same after the key service was asked."""
    secrets = await encryption.unlock(room, call, bucket, meta.seal, None)
    answer = _bytes(room, secrets, request, query, value, meta, headers)
    return answer if isinstance(answer, HttpResponse) else await answer


def described(meta: Meta, versioned: bool, asked: Mapping[str, str] = _NONE) -> Headers:
    """What an answer tells of a version, its length aside; ``asked``: the request's headers."""
    headers: Headers = [
        ("last-modified", http_date(meta.modified_ms)),
        ("etag", f'"{meta.etag}"'),
        ("accept-ranges", "bytes"),
        *meta.headers.items(),
        *encryption.answer_headers(meta.seal, asked),
    ]
    if versioned:
        headers.append(("x-amz-version-id", meta.version or "null"))
        headers += object_lock.answer_headers(meta)
    return headers


def _overridden(headers: Headers, query: Mapping[str, str], call: Call) -> Headers:
    told = {_OVERRIDES[n]: v for n, v in query.items() if n in _OVERRIDES}
    if not told:
        return headers
    if call.principal.kind == "anonymous":
        raise faults.invalid_request(
            "Request specific response headers cannot be used for anonymous GET requests."
        )
    for name, value in query.items():
        if name in _OVERRIDES and not _LATIN.fullmatch(value):
            message = "Header value cannot be represented using ISO-8859-1."
            raise faults.invalid_argument(message, name, value)
    return [h for h in headers if h[0] not in told] + list(told.items())


def _bytes(
    room: Room,
    secrets: Secrets | None,
    request: HttpRequest,
    query: Mapping[str, str],
    value: bytes,
    meta: Meta,
    headers: Headers,
) -> HttpResponse | Awaitable[HttpResponse]:
    """``secrets`` None: for a HEAD, whose answer has no body."""
    start, length, status = 0, meta.size, 200
    part: Mapping[str, str] = {}
    told = request.headers.get("range")
    number = query.get("partNumber")
    if number is not None:
        if told is not None:
            raise faults.invalid_request(
                "Cannot specify both Range header and partNumber query parameter"
            )
        start, length, part = span_of_part(room, meta, number)
        status = 206
        if meta.parts:
            headers.append(("x-amz-mp-parts-count", str(meta.parts)))
    elif told is not None:
        span = parse_range(told, meta.size)
        if span is not None:
            start, length = span
            status = 206
    if status == 206 and length:  # the one part of what is empty has no bytes to name
        headers.append(("content-range", f"bytes {start}-{start + length - 1}/{meta.size}"))
    asked = request.headers.get("x-amz-checksum-mode", "").upper() == "ENABLED"
    if asked and number is not None and meta.check_type == "COMPOSITE":
        # "You can get an individual part's checksum by ... specifying a part number" (user guide);
        # not where the checksum is the full object's (recorded of AWS)
        headers += checksums.answer_headers(checksums.like(meta.checks, part), meta.check_type)
    elif asked and meta.checks and length == meta.size:
        headers += checksums.answer_headers(meta.checks, meta.check_type)
    headers.append(("content-length", str(length)))
    if secrets is None or request.method == "HEAD":
        return HttpResponse(status, headers)
    span = (start, length)
    try:
        body = reading.body_of(room, meta, value, *span, secrets)
    except FileNotFoundError:
        return _brought(room, meta, value, span, secrets, HttpResponse(status, headers))
    return HttpResponse(status, headers, body, length)


async def _brought(
    room: Room,
    meta: Meta,
    value: bytes,
    span: tuple[int, int],
    secrets: Secrets,
    answer: HttpResponse,
) -> HttpResponse:
    """``answer`` with its body, whose bytes are on other nodes only."""
    await reading.bring(room, meta, *span)
    answer.body = reading.body_of(room, meta, value, *span, secrets)
    answer.length = span[1]
    return answer
