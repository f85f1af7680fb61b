"""Answers of the direct operations: JSON bytes, item texts spliced in as they are stored."""

from __future__ import annotations

import base64
from typing import Any

import orjson

from pileus.services.call import Call, HttpResponse

JSON_1_0 = "application/x-amz-json-1.0"
_ANY_ORIGIN = ("Access-Control-Allow-Origin", "*")
_HEAD_1_0 = b"Content-Type: application/x-amz-json-1.0\r\n"
_HEAD = b"Content-Type: application/json\r\n"


def respond(call: Call, body: bytes) -> HttpResponse:
    """200 with ``body``, in the content type the client speaks."""
    request = call.request
    if request is None:
        return HttpResponse(200, [], body, -1, _HEAD_1_0)
    asked = request.headers
    kind = asked.get("content-type")
    head = _HEAD_1_0
    if kind != JSON_1_0 and kind is not None and kind[:16] == "application/json":
        head = _HEAD
    return HttpResponse(200, [_ANY_ORIGIN] if "origin" in asked else [], body, -1, head)


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
