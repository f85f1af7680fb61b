"""The event a function URL sends (payload format 2.0) and how its answer becomes HTTP.

https://docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html
"""

from __future__ import annotations

import base64
import binascii
import time
from typing import Any
from urllib.parse import parse_qsl, unquote

import orjson

from pileus.services.call import ANONYMOUS, Headers, HttpRequest, HttpResponse, Principal

TEXT_TYPES = ("text/", "application/json", "application/javascript", "application/xml")
FAILED = b'{"Message":"Internal Server Error"}'
HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "transfer-encoding", "upgrade", "te", "trailer", "content-length")
)


def build(
    request: HttpRequest,
    config: dict[str, Any],
    path: str,
    now_ms: int,
    request_id: str,
    caller: Principal = ANONYMOUS,
) -> bytes:
    """The event as JSON; the request's body must have been read. ``caller``: who signed it."""
    headers = dict(request.headers)
    cookies = [part.strip() for part in headers.pop("cookie", "").split(";") if part.strip()]
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": unquote(path),
        "rawQueryString": request.query,
        "headers": headers,
        "requestContext": _context(request, config, path, now_ms, request_id) | _iam(caller),
        **_body(request.body, headers.get("content-type", "")),
    }
    if cookies:
        event["cookies"] = cookies
    if request.query:
        joined: dict[str, str] = {}
        for key, value in parse_qsl(request.query, keep_blank_values=True):
            joined[key] = f"{joined[key]},{value}" if key in joined else value
        event["queryStringParameters"] = joined
    return orjson.dumps(event)


def _context(
    request: HttpRequest, config: dict[str, Any], path: str, now_ms: int, request_id: str
) -> dict[str, Any]:
    host = request.headers.get("host", "")
    moment = time.gmtime(now_ms / 1000)
    return {
        "accountId": "anonymous",
        "apiId": config["id"],
        "domainName": host.rpartition(":")[0] or host,
        "domainPrefix": config["id"],
        "http": {
            "method": request.method,
            "path": unquote(path),
            "protocol": "HTTP/1.1",
            "sourceIp": request.remote,
            "userAgent": request.headers.get("user-agent", ""),
        },
        "requestId": request_id,
        "routeKey": "$default",
        "stage": "$default",
        "time": time.strftime("%d/%b/%Y:%H:%M:%S +0000", moment),
        "timeEpoch": now_ms,
    }


def _iam(caller: Principal) -> dict[str, Any]:
    """Who called an address of AuthType AWS_IAM."""
    if caller is ANONYMOUS:
        return {}
    told = {
        "accessKey": caller.access_key_id,
        "accountId": caller.account,
        "callerId": caller.id,
        "cognitoIdentity": None,
        "principalOrgId": None,
        "userArn": caller.arn,
        "userId": caller.id,
    }
    return {"accountId": caller.account, "authentication": None, "authorizer": {"iam": told}}


def _body(body: bytes, content_type: str) -> dict[str, Any]:
    if not body:
        return {"isBase64Encoded": False}
    if content_type.startswith(TEXT_TYPES):
        try:
            return {"body": body.decode(), "isBase64Encoded": False}
        except UnicodeDecodeError:
            pass  # not the text it claims to be: handed over as bytes
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True}


def response(payload: bytes) -> HttpResponse:
    """The function's answer: a structure with ``statusCode``, or any JSON as a 200."""
    plain = HttpResponse(200, [("content-type", "application/json")], payload)
    try:
        answer = orjson.loads(payload)
    except orjson.JSONDecodeError:
        return plain
    if not isinstance(answer, dict) or "statusCode" not in answer:
        return plain
    try:
        return _structured(answer)
    except (ValueError, TypeError, binascii.Error):
        return HttpResponse(502, [("content-type", "application/json")], FAILED)


def head(answer: dict[str, Any]) -> tuple[int, Headers]:
    """Status and headers of a function's structured answer. ``ValueError``, ``TypeError``: it is
    none."""
    status = int(answer.get("statusCode", 200))
    if not 200 <= status <= 599:
        raise ValueError(status)
    headers: Headers = []
    told, cookies = answer.get("headers") or {}, answer.get("cookies") or []
    if not isinstance(told, dict) or not isinstance(cookies, list):
        raise TypeError("headers are an object, cookies a list")
    for name, value in told.items():
        if str(name).lower() not in HOP_BY_HOP:
            headers.append((_clean(name), _clean(value)))
    headers += [("set-cookie", _clean(cookie)) for cookie in cookies]
    if not any(name.lower() == "content-type" for name, _ in headers):
        headers.append(("content-type", "application/json"))
    return status, headers


def _structured(answer: dict[str, Any]) -> HttpResponse:
    status, headers = head(answer)
    body = answer.get("body")
    if body is None:
        data = b""
    elif answer.get("isBase64Encoded"):
        data = base64.b64decode(body, validate=True)
    else:
        data = body.encode() if isinstance(body, str) else orjson.dumps(body)
    return HttpResponse(status, headers, data)


def _clean(text: Any) -> str:
    """A header's name or value; ``ValueError`` when it would split the answer."""
    value = str(text)
    if "\r" in value or "\n" in value:
        raise ValueError(value)
    return value


# -- CORS ----------------------------------------------------------------------------------------


def cors_headers(cors: dict[str, Any], request: HttpRequest) -> Headers:
    """What a browser at the request's origin is told; [] when it may not read the answer."""
    origin = request.headers.get("origin")
    allowed = cors.get("AllowOrigins") or []
    if not origin or not ("*" in allowed or origin in allowed):
        return []
    credentials = bool(cors.get("AllowCredentials"))
    told = origin if credentials or "*" not in allowed else "*"
    headers: Headers = [("access-control-allow-origin", told), ("vary", "Origin")]
    if credentials:
        headers.append(("access-control-allow-credentials", "true"))
    if cors.get("ExposeHeaders"):
        headers.append(("access-control-expose-headers", ",".join(cors["ExposeHeaders"])))
    return headers


def preflight(cors: dict[str, Any], request: HttpRequest) -> Headers:
    """The answer to OPTIONS."""
    headers = cors_headers(cors, request)
    if not headers:
        return []
    headers.append(("access-control-allow-methods", ",".join(cors.get("AllowMethods") or [])))
    if cors.get("AllowHeaders"):
        headers.append(("access-control-allow-headers", ",".join(cors["AllowHeaders"])))
    if cors.get("MaxAge"):
        headers.append(("access-control-max-age", str(cors["MaxAge"])))
    return headers
