"""A request that names another node is handed on as it came (C5)."""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.console.nodes import AcrossNodes
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import serve

SIGNED = {"host": "localhost:8000", "authorization": "AWS4-HMAC-SHA256 …".replace("…", "x"),
          "x-amz-date": "20260101T000000Z", "cookie": "none", "x-pileus-node": "n2"}  # fmt: skip


def here(request: HttpRequest) -> HttpResponse:
    return HttpResponse(200, [], b"here")


def test_handed_on_with_what_its_signature_covers() -> None:
    seen: list[HttpRequest] = []

    def there(request: HttpRequest) -> HttpResponse:
        seen.append(request)
        return HttpResponse(409, [("content-type", "application/json"), ("x-more", "1")], b"{}")

    async def body() -> HttpResponse:
        server = await serve(there, ("127.0.0.1", 0))
        door = AcrossNodes(lambda: {"n2": ("127.0.0.1", server.port)}).door(here)
        got = door(HttpRequest("POST", "/_pileus/parts/x/stop", "a=%20", dict(SIGNED), b"body"))
        answer: Any = got if isinstance(got, HttpResponse) else await got
        await server.stop()
        return answer

    answer = asyncio.run(body())
    assert (answer.status, answer.body) == (409, b"{}")
    assert dict(answer.headers) == {"content-type": "application/json", "cache-control": "no-store"}
    (asked,) = seen
    assert (asked.method, asked.path, asked.query) == ("POST", "/_pileus/parts/x/stop", "a=%20")
    assert asked.body == b"body" and "cookie" not in asked.headers
    for name in ("host", "authorization", "x-amz-date", "x-pileus-node"):
        assert asked.headers[name] == SIGNED[name]


def test_answered_here_when_it_is_meant_or_came_from_another() -> None:
    door = AcrossNodes(lambda: {"n2": ("127.0.0.1", 1)}).door(here)
    for headers in ({}, {"x-pileus-node": "n1"}, {**SIGNED, "x-pileus-handed-on": "1"}):
        got = door(HttpRequest("GET", "/_pileus/parts", "", headers))
        assert isinstance(got, HttpResponse) and got.body == b"here"


def test_a_node_that_is_away_is_said_so() -> None:
    async def body(cut: bytes) -> HttpResponse:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(cut)
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        if not cut:
            server.close()
        door = AcrossNodes(lambda: {"n2": ("127.0.0.1", port)}).door(here)
        got: Any = door(HttpRequest("GET", "/_pileus/parts", "", dict(SIGNED)))
        told = await got
        server.close()
        return told

    for cut in (b"", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", b"nonsense\r\n\r\n"):
        answer = asyncio.run(body(cut))
        assert answer.status == 503 and b"n2 does not answer" in bytes(answer.body)  # type: ignore[arg-type]
