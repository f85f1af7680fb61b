"""What DynamoDB's address answers to a request that names no operation of it.

A request belongs here by its host (``dynamodb.REGION.…``), by its credential scope, or because it
is unsigned, goes to ``/`` and is no form: no other service takes such a request. The texts are the
service's own, as its wire shows them (dynalite's suite recorded them): they are in no document.
"""

from __future__ import annotations

import binascii
import re
from collections.abc import AsyncIterator

import orjson

from pileus.services.call import HttpRequest, HttpResponse

_HOST = re.compile(r"dynamodb\.[a-z]{2}(?:-[a-z]+)+-\d\.(?:localhost|amazonaws\.com)(?::\d+)?\Z")
_JSON = frozenset({"application/json", "application/x-amz-json-1.0"})
NOWHERE = b"<UnknownOperationException/>\n"
CORS_MAX_AGE_S = 172_800


def is_host(host: str) -> bool:
    """Is this the service's own name?"""
    return host[:9] == "dynamodb." and _HOST.match(host) is not None


def is_stray(request: HttpRequest) -> bool:
    """An unsigned request to ``/`` that nobody else would take."""
    return (
        request.path == "/"
        and request.method not in ("GET", "HEAD")
        and "authorization" not in request.headers
        and "X-Amz-Credential=" not in request.query
        and "Action=" not in request.query
        and not request.headers.get("content-type", "").startswith(
            ("application/x-www-form-urlencoded", "multipart/form-data")
        )
    )


def answer(request: HttpRequest, request_id: str, region: str) -> HttpResponse:
    """A preflight, the health text, or what is wrong with the request."""
    headers = [("x-amzn-RequestId", request_id), *cors(request)]
    if request.method == "OPTIONS" and "origin" in request.headers:
        return HttpResponse(200, [*headers, *_preflight(request)], b"")
    if request.method == "GET":
        return _checked(200, headers, f"healthy: dynamodb.{region}.amazonaws.com ".encode())
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    if request.method != "POST" or (request.body and kind not in _JSON):
        return _checked(404, headers, NOWHERE)
    headers.append(("content-type", content_type(request)))
    code = "UnknownOperationException" if _is_json(request.body) else "SerializationException"
    return _checked(400, headers, b'{"__type":"com.amazon.coral.service#%b"}' % code.encode())


def _is_json(body: bytes) -> bool:
    try:
        if body:
            orjson.loads(body)
    except orjson.JSONDecodeError:
        return False
    return True


def content_type(request: HttpRequest) -> str:
    """An answer speaks the JSON it was asked in; ``application/json`` when nothing was said."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip()
    return kind if kind == "application/x-amz-json-1.0" else "application/json"


def cors(request: HttpRequest) -> list[tuple[str, str]]:
    """Any page may read an answer; the signature is the guard."""
    return [("Access-Control-Allow-Origin", "*")] if "origin" in request.headers else []


def _preflight(request: HttpRequest) -> list[tuple[str, str]]:
    asked = request.headers
    told = [
        (f"Access-Control-Allow-{name}", asked[f"access-control-request-{member}"])
        for name, member in (("Headers", "headers"), ("Methods", "method"))
        if f"access-control-request-{member}" in asked
    ]
    return [*told, ("Access-Control-Max-Age", str(CORS_MAX_AGE_S))]


def _checked(status: int, headers: list[tuple[str, str]], body: bytes) -> HttpResponse:
    return HttpResponse(status, [*headers, ("x-amz-crc32", str(binascii.crc32(body)))], body)


def too_large() -> HttpResponse:
    """A body over 16 MB: 413 with nothing in it, chunked."""
    return HttpResponse(413, [], _Nothing())


class _Nothing:
    """A body without a chunk."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration
