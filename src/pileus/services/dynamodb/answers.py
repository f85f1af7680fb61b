"""Answers of the direct operations: JSON bytes, item texts spliced in as they are stored."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from pileus.services.call import Call, HttpResponse

_HEAD_1_0 = b"Content-Type: application/x-amz-json-1.0\r\n"
_HEAD = b"Content-Type: application/json\r\n"


def respond(call: Call, body: bytes) -> HttpResponse:
    """200 with ``body``, in the content type the client speaks."""
    request = call.request
    head = _HEAD_1_0
    if request is not None and request.headers.get("content-type", "")[:16] == "application/json":
        head = _HEAD
    headers = []
    if request is not None and "origin" in request.headers:
        headers.append(("Access-Control-Allow-Origin", "*"))
    return HttpResponse(200, headers, body, -1, head)


def assemble(members: list[bytes]) -> bytes:
    """A JSON object of ready members ``"name":value``."""
    return b"{" + b",".join(members) + b"}"


def member(name: bytes, value: Any) -> bytes:
    """One ready member."""
    return b'"' + name + b'":' + orjson.dumps(value)


def with_bytes(value: Any) -> Any:
    """Wire JSON with binary attribute values as bytes, as the door's error writer wants them."""
    if isinstance(value, list):
        return [with_bytes(v) for v in value]
    if not isinstance(value, dict):
        return value
    if len(value) == 1:
        if isinstance(value.get("B"), str):
            return {"B": base64.b64decode(value["B"])}
        if isinstance(value.get("BS"), list):
            return {"BS": [base64.b64decode(x) for x in value["BS"]]}
    return {n: with_bytes(v) for n, v in value.items()}
