"""The API behind a path of another door, where a browser may call it: signed requests only.

A page shares its origin with what the API answers, and buckets hold what users put there. So
nothing here can be opened as a page: a request needs an Authorization header, which no link or
form can send (a presigned address has none), must come from a page of the same origin, and its
answer is marked as no page.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Awaitable, Callable

import orjson

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.hosts import bare, bucket_of_host
from pileus.wire.sigv4 import ALGORITHM

GUARDS = [
    ("content-security-policy", "default-src 'none'; sandbox"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
]
NOT_SIGNED = "Requests here carry an Authorization header (Signature Version 4)"
OTHER_ORIGIN = "Requests here come from a page of this origin"
_DOORS = (".execute-api.", ".s3-website", ".cloudfront.", ".lambda-url.", ".service.")
OTHER_DOOR = "This address belongs to no AWS API"
Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]


class Behind:
    """``serve`` is the handler; ``api`` the whole API's."""

    def __init__(self, api: Handler) -> None:
        self._api = api

    async def serve(self, request: HttpRequest) -> HttpResponse:
        """Answer one request, or refuse it with JSON ``{"__type", "message"}``."""
        refused = _refused(request)
        if refused is not None:
            return refused
        answer = self._api(dataclasses.replace(request, head=None))
        response = answer if isinstance(answer, HttpResponse) else await answer
        kept = [h for h in response.headers if not _is_grant(h[0])]
        if not any(name.lower() == "cache-control" for name, _ in kept):
            kept.append(("cache-control", "no-store"))
        response.headers = [*kept, *GUARDS]
        return response


def _is_grant(name: str) -> bool:
    """Headers that would loosen what is set here: a bucket's own rules hold at its own address."""
    name = name.lower()
    return name.startswith("access-control-") or name in ("set-cookie", "service-worker-allowed")


def _refused(request: HttpRequest) -> HttpResponse | None:
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return _no(403, "AccessDeniedException", OTHER_ORIGIN)
    if not request.headers.get("authorization", "").startswith(ALGORITHM):
        return _no(403, "MissingAuthenticationTokenException", NOT_SIGNED)
    host = bare(request.headers.get("host", ""))
    other = request.path.startswith("/_") and not request.path.startswith("/_pileus/")
    if other or bucket_of_host(host) or any(word in host for word in _DOORS):
        return _no(404, "UnknownOperationException", OTHER_DOOR)
    return None


def _no(status: int, code: str, message: str) -> HttpResponse:
    headers = [("content-type", "application/json"), *GUARDS]
    return HttpResponse(status, headers, orjson.dumps({"__type": code, "message": message}))
