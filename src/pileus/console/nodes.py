"""Asking another node: a request that names one in ``x-pileus-node`` is handed on as it came.

Its signature covers what it says, so the other node decides for itself; nothing is trusted because
it came from a node. Only for doors that tell of one machine: parts, log, series.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import httptools
import orjson

from pileus.services.call import HttpRequest, HttpResponse

HEADER, ONCE = "x-pileus-node", "x-pileus-handed-on"
PATIENCE_S, CONNECT_S = 8.0, 1.5
ANSWER_BYTES_MAX = 16 * 1024 * 1024
KEPT = ("host", "authorization", "content-type", "accept")
Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]
# Names and API addresses of the other nodes.
Others = Callable[[], Mapping[str, tuple[str, int]]]


class AcrossNodes:
    """``door(handler)`` answers for this node, and for another one by asking it."""

    def __init__(self, others: Others) -> None:
        self._others = others

    def door(self, handler: Handler) -> Handler:
        def serve(request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
            name = request.headers.get(HEADER)
            place = self._others().get(name) if name and ONCE not in request.headers else None
            return handler(request) if place is None else hand_on(str(name), place, request)

        return serve


async def hand_on(name: str, place: tuple[str, int], request: HttpRequest) -> HttpResponse:
    """The other node's answer; 503 with words when there is none."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            return await _ask(place, request, await request.read(64 * 1024))
    except (OSError, TimeoutError, httptools.HttpParserError) as e:
        told = {"__type": "ServiceUnavailable", "message": f"{name} does not answer: {e or 'late'}"}
        return HttpResponse(503, [("content-type", "application/json")], orjson.dumps(told))


async def _ask(place: tuple[str, int], request: HttpRequest, body: bytes) -> HttpResponse:
    async with asyncio.timeout(CONNECT_S):
        reader, writer = await asyncio.open_connection(*place)
    try:
        target = f"{request.path}?{request.query}" if request.query else request.path
        kept = {k: v for k, v in request.headers.items() if k in KEPT or k.startswith("x-")}
        kept |= {ONCE: "1", "content-length": str(len(body)), "connection": "close"}
        lines = "".join(f"{k}: {v}\r\n" for k, v in kept.items())
        head = f"{request.method} {target} HTTP/1.1\r\n{lines}\r\n"
        writer.write(head.encode("latin-1") + body)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.done and (piece := await reader.read(65536)):
            parser.feed_data(piece)
            if len(answer.body) > ANSWER_BYTES_MAX:
                raise OSError("its answer is too long")
        if not answer.done:
            raise OSError("its answer was cut short")
        headers = [("content-type", answer.kind), ("cache-control", "no-store")]
        return HttpResponse(parser.get_status_code(), headers, bytes(answer.body))
    finally:
        writer.close()


class _Answer:
    """What the parser tells."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.kind = "application/json"
        self.done = False

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"content-type":
            self.kind = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        self.body += data

    def on_message_complete(self) -> None:
        self.done = True


def others_of(home: Any, load: Callable[[Any], Any]) -> Others:
    """The other nodes as ``load(home)`` knows the cluster now."""

    def others() -> Mapping[str, tuple[str, int]]:
        cluster = load(home)
        return {} if cluster is None else {n.name: (n.address, n.port) for n in cluster.peers}

    return others
