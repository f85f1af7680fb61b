"""This cloud's own hosts, asked without a socket: buckets, sites, APIs, functions, distributions.

The names are AWS's (``b.s3.eu-west-1.amazonaws.com``) or ours (``b.s3.localhost:4566``).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar

from pileus.errors import Unavailable
from pileus.services.call import FileBody, HttpRequest, HttpResponse

CHUNK = 256 * 1024
DEPTH_MAX = 4
DOMAINS = (".localhost", ".amazonaws.com", ".cloudfront.net", ".on.aws")
DOORS = ("execute-api", "s3-website", "cloudfront", "lambda-url", "service", "s3")
Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]


def own_host(name: str) -> str:
    """The name under which this cloud's router knows the host ``name``; '' for a foreign one."""
    name = name.lower().rstrip(".")
    if not name.endswith(DOMAINS):
        return ""
    labels = name.split(".")
    for at in range(len(labels) - 1, -1, -1):  # a bucket's name may hold dots and any word
        for door in DOORS if at else ("s3",):
            if labels[at] == door or labels[at].startswith(door + "-"):
                return ".".join([*labels[:at], door, "localhost"])
    return ""


async def body_of(
    body: bytes | FileBody | AsyncIterator[bytes], length: int
) -> tuple[bytes | AsyncIterator[bytes], int]:
    """An answer's body as bytes or chunks, and its length (-1: unknown). Files are closed."""
    if isinstance(body, bytes):
        return body, len(body)
    if isinstance(body, FileBody):
        if body.length <= CHUNK:
            try:
                return os.pread(body.fd, body.length, body.offset), body.length
            finally:
                os.close(body.fd)
        return Pieces(body), body.length
    return body, length


class Pieces(AsyncIterator[bytes]):
    """An open file's slice in chunks; closed at its end, or when nobody wants it."""

    def __init__(self, body: FileBody) -> None:
        self._fd, self._offset, self._left = body.fd, body.offset, body.length

    async def __anext__(self) -> bytes:
        if not self._left:
            await self.aclose()
            raise StopAsyncIteration
        size = min(self._left, CHUNK)
        data = await asyncio.to_thread(os.pread, self._fd, size, self._offset)
        if not data:
            await self.aclose()
            raise Unavailable("an object is shorter than announced", "pileus verify")
        self._offset, self._left = self._offset + len(data), self._left - len(data)
        return data

    async def aclose(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
        self._fd, self._left = -1, 0

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)


class Inside:
    """Asks the cloud's own front. One per process."""

    def __init__(self, handler: Handler) -> None:
        self._handler = handler
        self._depth: ContextVar[int] = ContextVar("depth", default=0)

    async def ask(self, request: HttpRequest) -> HttpResponse:
        """The front's answer. ``Unavailable`` when a request has come back to us too often: a
        distribution whose origin is an API that proxies to that distribution."""
        depth = self._depth.get()
        if depth >= DEPTH_MAX:
            raise Unavailable("the request goes in circles", "look at its origins")
        token = self._depth.set(depth + 1)
        try:
            answered = self._handler(request)
            return answered if isinstance(answered, HttpResponse) else await answered
        finally:
            self._depth.reset(token)
