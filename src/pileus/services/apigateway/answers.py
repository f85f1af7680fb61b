"""What a function's result means as an HTTP answer, and the API's own error answers.

https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Headers, HttpResponse

HOP = frozenset(
    {"connection", "keep-alive", "transfer-encoding", "upgrade", "content-length", "trailer", "te"}
)


def error(status: int, message: str) -> HttpResponse:
    """``{"message": …}``, as API Gateway words its own answers."""
    body = orjson.dumps({"message": message})
    return HttpResponse(status, [("content-type", "application/json")], body)


def unread(trouble: AwsError) -> HttpResponse:
    """What a request is told whose body could not be read: it stopped coming (its connection is
    closed then: RFC 9110, 15.5.9), is longer than an HTTP API takes, or is broken."""
    if trouble.code == "RequestTimeout":
        return error(408, "Request Timeout")
    if trouble.status == 413:
        return error(413, "Request Entity Too Large")
    return error(400, "Bad Request")


def not_found() -> HttpResponse:
    return error(404, "Not Found")


def internal() -> HttpResponse:
    return error(500, "Internal Server Error")


def from_result(payload: bytes, version: str) -> HttpResponse:
    """The HTTP answer a function's result describes; 500 for one that describes none."""
    try:
        result = orjson.loads(payload) if payload else None
    except orjson.JSONDecodeError:
        return internal()
    if isinstance(result, dict) and "statusCode" in result:
        return _described(result)
    if version == "1.0":  # nothing is inferred from a bare value
        return internal()
    return HttpResponse(200, [("content-type", "application/json")], payload)


def _described(result: dict[str, Any]) -> HttpResponse:
    try:
        status = int(result["statusCode"])
        if not 100 <= status <= 599:
            return internal()
        headers = _headers(result)
        body = _body(result)
    except (TypeError, ValueError, AttributeError, binascii.Error):
        return internal()
    if body and not any(name == "content-type" for name, _ in headers):
        headers.append(("content-type", "text/plain;charset=UTF-8"))
    return HttpResponse(status, headers, body)


def _headers(result: dict[str, Any]) -> Headers:
    """``headers``, ``multiValueHeaders`` (which win) and ``cookies``, names in lower case."""
    many: dict[str, list[str]] = {}
    for name, value in (result.get("headers") or {}).items():
        many[name.lower()] = [_text(value)]
    for name, values in (result.get("multiValueHeaders") or {}).items():
        many[name.lower()] = [_text(value) for value in values]
    out = [(name, value) for name, values in many.items() if name not in HOP for value in values]
    out += [("set-cookie", str(cookie)) for cookie in result.get("cookies") or []]
    for name, value in out:
        if any(c in "\r\n\0" for c in name + value) or not name:
            raise ValueError(name)
        value.encode("latin-1")
    return out


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value)
    raise TypeError(f"a header's value is a {type(value).__name__}")


def _body(result: dict[str, Any]) -> bytes:
    body = result.get("body")
    if body is None:
        return b""
    if not isinstance(body, str):
        return orjson.dumps(body)
    if result.get("isBase64Encoded"):
        return base64.b64decode(body, validate=True)
    return body.encode()
