"""The API's own address: REST JSON at ``/_pileus/services`` (docs/operations.md).

Signed like every AWS call, with the signing name ``pileus``; authorised as the operation is.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, unquote

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Access, HttpRequest, HttpResponse, Parts, Principal

PREFIX = "/_pileus/services"
BODY_BYTES_MAX = 80 * 1024 * 1024
VERBS = {"restart": "RestartService", "stop": "StopService", "start": "StartService"}
METHODS = {"GET": "DescribeServices", "PUT": "UpdateService", "DELETE": "DeleteService"}
_REGION = re.compile(r"Credential=[^/,\s]+/\d{8}/([a-z0-9-]+)/")


class ApiDoor:
    """Stands behind ``wire.signed_door``: the caller is known, what it may do the dispatch asks."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    def access(self, request: HttpRequest, principal: Principal) -> Sequence[Access]:
        """Nothing yet: the operation's own permissions are asked for when its body is read."""
        return []

    async def serve(self, request: HttpRequest, principal: Principal) -> HttpResponse:
        """Answer one request; errors are JSON ``{"__type", "message"}``."""
        try:
            operation, params = await _read(request)
            scope = _REGION.search(request.headers.get("authorization", ""))
            answer = await self._parts.dispatch(
                "pileus", operation, params, principal=principal, region=scope[1] if scope else ""
            )
        except AwsError as e:
            return _answer(e.status, {"__type": e.code, "message": e.message})
        except Unavailable as e:
            told = {"__type": "ServiceUnavailable", "message": f"{e}; {e.hint}"}
            return _answer(503, told)
        return _answer(200, answer)


def _answer(status: int, told: dict[str, Any]) -> HttpResponse:
    return HttpResponse(status, [("content-type", "application/json")], orjson.dumps(told))


async def _read(request: HttpRequest) -> tuple[str, dict[str, Any]]:
    """(operation, parameters) of a request."""
    names = [unquote(n) for n in request.path[len(PREFIX) :].split("/") if n]
    query = {k: v[-1] for k, v in parse_qs(request.query).items()}
    params: dict[str, Any] = {}
    if request.method in ("POST", "PUT"):
        params = _json(await request.read(BODY_BYTES_MAX))
    if not names and request.method == "GET":
        if "Names" in query:
            return "DescribeServices", {"Names": query["Names"].split(",")}
        return "ListServices", {k: query[k] for k in ("MaxResults", "NextToken") if k in query}
    if not names and request.method == "POST":
        return "CreateService", params
    if len(names) == 1 and request.method in METHODS:
        return METHODS[request.method], {**params, "Name": names[0]}
    if len(names) == 2 and request.method == "POST" and names[1] in VERBS:
        return VERBS[names[1]], {"Name": names[0]}
    raise AwsError("MethodNotAllowed", f"{request.method} is not offered at {request.path}", 405)


def _json(body: bytes) -> dict[str, Any]:
    try:
        told = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError:
        told = None
    if not isinstance(told, dict):
        raise AwsError("SerializationException", "The body is a JSON object", 400)
    return told
