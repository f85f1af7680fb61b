"""Objects too large to keep pass through in pieces; addresses share fairly."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pileus.edge import door
from pileus.services.call import HttpRequest, HttpResponse
from tests.edge.conftest import World, cached, told, told_of
from tests.edge.test_serving import LEGACY

CHUNK = b"x" * 256 * 1024
CHUNKS = 160  # 40 MB


class Large:
    """An origin with one object of 40 MB that counts what it has sent."""

    def __init__(self) -> None:
        self.sent = 0
        self.asked: list[tuple[str, str]] = []

    def answer(self, request: HttpRequest) -> HttpResponse:
        wanted = request.headers.get("range", "")
        self.asked.append((request.method, wanted))
        if wanted:
            headers = [("content-range", f"bytes 5-7/{len(CHUNK) * CHUNKS}"), ("etag", '"e"')]
            return HttpResponse(206, headers, b"xxx")
        return HttpResponse(200, [("etag", '"e"')], self.chunks(), len(CHUNK) * CHUNKS)

    async def chunks(self) -> AsyncIterator[bytes]:
        for _ in range(CHUNKS):
            self.sent += len(CHUNK)
            yield CHUNK


def test_streamed_in_pieces_and_not_kept(run: Any) -> None:
    async def body(w: World) -> None:
        large = Large()
        w.origin = large.answer
        await w.make(LEGACY, s3=False)
        told_host = {"host": f"{w.id.lower()}.cloudfront.localhost"}
        answer = await told_of(w.edge.serve(HttpRequest("GET", "/big", "", dict(told_host))))
        assert answer.status == 200 and not isinstance(answer.body, bytes)
        received = 0
        async for chunk in answer.body:
            received += len(chunk)
            assert large.sent - received < 16 * 1024 * 1024
        assert received == len(CHUNK) * CHUNKS
        assert w.edge._cache._ram_bytes == 0

    run(body)


def test_ranges_pass_to_the_origin(run: Any) -> None:
    async def body(w: World) -> None:
        large = Large()
        w.origin = large.answer
        await w.make(LEGACY, s3=False)
        for _ in range(2):
            part = await w.get("/big", range="bytes=5-7")
            assert (part.status, part.body, cached(part)) == (206, b"xxx", "Miss")
            assert told(part, "content-range") == f"bytes 5-7/{len(CHUNK) * CHUNKS}"
        assert large.asked == [("GET", ""), ("GET", "bytes=5-7"), ("GET", "bytes=5-7")]
        assert large.sent < 16 * 1024 * 1024  # the first answer was given up
        head = await w.get("/big", "HEAD")
        assert head.status == 200 and told(head, "content-length") == str(len(CHUNK) * CHUNKS)

    run(body)


def test_one_address_cannot_take_every_place(run: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(door, "VIEWER_ACTIVE", 3)

    async def body(w: World) -> None:
        w.origin = Large().answer
        await w.make(LEGACY, s3=False)
        host = f"{w.id.lower()}.cloudfront.localhost"

        async def visit(address: str) -> HttpResponse:
            headers = {"host": host, "x-forwarded-for": address}
            return await told_of(w.edge.serve_proxied(HttpRequest("GET", "/big", "", headers)))

        held: list[Any] = [await visit("192.0.2.1") for _ in range(3)]
        assert [answer.status for answer in held] == [200] * 3
        assert (await visit("192.0.2.1")).status == 503
        held.append(await visit("192.0.2.2"))
        assert held[-1].status == 200
        await held.pop(0).body.aclose()
        held.append(await visit("192.0.2.1"))
        assert held[-1].status == 200
        for answer in held:
            await answer.body.aclose()
        assert not w.edge._active

    run(body)


def test_pages_of_the_edge(run: Any) -> None:
    async def body(w: World) -> None:
        w.put("a", b"1")
        await w.make(Comment="the shop <1>")
        for host in ("localhost:8000", "127.0.0.1:8000"):
            w.edge.console = lambda request: HttpResponse(200, [], request.path.encode())
            console = await w.get("/admin/x", host=host)
            assert console.status == 200 and console.body == b"/admin/x"
            assert (await w.get("/", host=host)).status == 404
            w.edge._dev = True
            page = await w.get("/", host=host)
            address = f"http://{w.id.lower()}.cloudfront.localhost:8000/"
            assert page.status == 200 and address.encode() in bytes(page.body)
            assert b"the shop &lt;1&gt;" in bytes(page.body)
            assert (await w.get("/", host="other.example")).status == 404
            w.edge._dev = False
        assert dict((await w.get("/", host="console.localhost")).headers)["location"] == "/admin/"
        assert (await w.get(f"/_cdn/{w.id}/a", host="console.localhost")).status == 404
        assert (await w.get("/admin")).status == 404  # a distribution's own path: not the console
        assert b"NoSuchKey" in bytes((await w.get("/admin")).body)

    run(body)
