"""The HTTP server at the socket: framing, order, limits, slow and rude clients (E4, E5)."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import tempfile

import pytest
import uvloop

from pileus.services.call import FileBody, HttpRequest, HttpResponse
from pileus.wire.connection import Connection
from pileus.wire.http import Limits, bind, serve

BIG = os.urandom(3 * 1024 * 1024)


async def chunks(*parts):
    for part in parts:
        yield part


async def _later(request: HttpRequest) -> HttpResponse:
    await asyncio.sleep(0.02)
    return HttpResponse(200, [], b"late " + request.path.encode())


async def _count(request: HttpRequest) -> HttpResponse:
    size = 0
    async for chunk in request.stream:
        size += len(chunk)
    return HttpResponse(200, [], str(size).encode())


async def _endless(request: HttpRequest) -> HttpResponse:
    async def ticks():
        try:
            while True:
                yield b"x" * 65536
                await asyncio.sleep(0)
        finally:
            request.headers["gone"].append(True)

    return HttpResponse(200, [], ticks())


def _file() -> HttpResponse:
    with tempfile.TemporaryFile() as f:
        f.write(BIG)
        f.flush()
        return HttpResponse(200, [], FileBody(os.dup(f.fileno()), 10, len(BIG) - 20))


def handler(request: HttpRequest):
    path = request.path
    if request.stream is not None:
        return _count(request)
    if path.startswith("/late"):
        return _later(request)
    if path == "/file":
        return _file()
    if path == "/chunked":
        return HttpResponse(200, [], chunks(b"one", b"", b"two"))
    if path == "/sized":
        return HttpResponse(200, [], chunks(b"one", b"two"), length=6)
    if path == "/short":
        return HttpResponse(200, [], chunks(b"one"), length=6)
    if path == "/boom":
        raise RuntimeError("boom")
    if path == "/inject":
        return HttpResponse(200, [("x", "a\r\nset-cookie: b")], b"")
    if path == "/none":
        return HttpResponse(204)
    return HttpResponse(
        200, [("x-a", "b")], b"%s %s " % (path.encode(), request.query.encode()) + request.body
    )


def run(test, limits: Limits | None = None, handle=handler):
    async def main():
        server = await serve(handle, ("127.0.0.1", 0), limits)
        try:
            return await asyncio.wait_for(test(server), 90)
        finally:
            await server.stop(1)

    return uvloop.run(main())


async def until(true) -> None:
    for _ in range(2000):
        if true():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("did not happen")


def talk(data: bytes, limits: Limits | None = None, *, eof: bool = True) -> bytes:
    """Send bytes, half-close, read all that comes."""

    async def test(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(data)
        if eof:
            writer.write_eof()
        answer = await reader.read()
        writer.close()
        return answer

    return run(test, limits)


def get(path: str, more: str = "", method: str = "GET") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def test_plain_get_then_half_close():
    answer = talk(get("/a%20b?c=d"))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\nx-a: b\r\ncontent-length: 11\r\ndate: ")
    assert answer.endswith(b"\r\n\r\n/a%20b c=d ")


def test_pipelined_answers_keep_their_order():
    data = b"".join(get(f"/late{i}" if i % 3 == 0 else f"/now{i}") for i in range(100))
    answer = talk(data)
    places = [answer.find(b"/%s%d" % (b"late" if i % 3 == 0 else b"now", i)) for i in range(100)]
    assert places == sorted(places) and places[0] > 0


def test_head_and_no_content_have_no_body():
    answer = talk(get("/x", method="HEAD") + get("/none") + get("/end", "Connection: close\r\n"))
    assert answer.count(b"HTTP/1.1 ") == 3 and b"/x" not in answer
    assert b"204 No Content\r\ndate" in answer and answer.endswith(b"/end  ")


def test_chunked_request_and_answer():
    body = b"5\r\nhello\r\n6;ext=1\r\n world\r\n0\r\nx-trailer: 1\r\n\r\n"
    answer = talk(get("/p", "Transfer-Encoding: chunked\r\n", "POST") + body + get("/chunked"))
    assert b"\r\n\r\n11" in answer
    assert answer.endswith(b"\r\n\r\n3\r\none\r\n3\r\ntwo\r\n0\r\n\r\n")
    assert talk(get("/sized")).endswith(b"\r\n\r\nonetwo")


def test_http_1_0_gets_no_chunks():
    answer = talk(b"GET /chunked HTTP/1.0\r\n\r\n")
    assert answer.endswith(b"\r\n\r\nonetwo") and b"chunked" not in answer


def test_body_shorter_than_announced_cuts_the_connection():
    assert talk(get("/short") + get("/next")).endswith(b"\r\n\r\none")


def test_large_body_streams_and_file_by_sendfile():
    post = get("/big", f"Content-Length: {len(BIG)}\r\n", "PUT") + BIG
    assert talk(post).endswith(b"\r\n\r\n%d" % len(BIG))
    answer = talk(get("/file") + get("/after"))
    head, _, rest = answer.partition(b"\r\n\r\n")
    assert b"content-length: %d" % (len(BIG) - 20) in head
    assert rest[: len(BIG) - 20] == BIG[10:-10] and rest.endswith(b"/after  ")


def test_expect_100_continue():
    async def test(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        for length in (5, 2_000_000):
            writer.write(get("/e", f"Content-Length: {length}\r\nExpect: 100-continue\r\n", "PUT"))
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(b"x" * length)
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            assert await reader.readexactly(len(str(length))) == str(length).encode()
        writer.close()

    run(test)


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00", 400),
        (
            get("/a", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", "POST") + b"0\r\n\r\n",
            400,
        ),
        (get("/a", "Content-Length: 3\r\nContent-Length: 4\r\n", "POST") + b"abcd", 400),
        (get("/a", "Content-Length: +3\r\n", "POST") + b"abc", 400),
        (get("/a", "Content-Length: 99999999999999999999\r\n", "POST"), 400),
        (get("/a", "Content-Length: 99999999999999\r\n", "POST"), 413),
        (get("/a", "Transfer-Encoding: gzip, chunked\r\n", "POST") + b"0\r\n\r\n", 501),
        (get("/a", "Transfer-Encoding: xchunked\r\n", "POST") + b"0\r\n\r\n", 501),
        (get("/a", "Host: b\r\n"), 400),
        (b"GET /a HTTP/1.1\r\n\r\n", 400),
        (get("/a", "Bad Header: b\r\n"), 400),
        (b"GET /a HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n", 400),
        (get("/" + "a" * 40_000), 414),
        (get("/a", "X-Long: " + "a" * 80_000 + "\r\n"), 431),
        (get("/a", "".join(f"x{i}: 1\r\n" for i in range(300))), 431),
        (b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n", 400),
        (get("/boom"), 500),
        (get("/inject"), 500),
    ],
)
def test_bad_requests_are_answered_and_the_server_lives(data, status):
    async def test(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(data)
        writer.write_eof()
        answer = await reader.read()
        writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/alive", "Connection: close\r\n"))
        assert b"/alive" in await reader.read()
        writer.close()
        return answer

    answer = run(test)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert answer.count(b"HTTP/1.1 ") == 1 and b"set-cookie" not in answer


def test_bad_chunk_size_inside_a_stream_is_refused():
    answer = talk(
        get("/a", "Transfer-Encoding: chunked\r\n", "POST") + b"5\r\nhello\r\nzz\r\n", eof=False
    )
    assert answer.startswith((b"HTTP/1.1 400", b"HTTP/1.1 500"))
    assert b"connection: close" in answer


def test_smuggled_request_is_not_served():
    data = get("/a", "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n", "POST")
    answer = talk(data + b"0\r\n\r\n" + get("/smuggled"))
    assert b"smuggled" not in answer and answer.startswith(b"HTTP/1.1 400")


def test_absolute_form_and_upgrade_are_plain_http():
    assert b"/x y=1 " in talk(b"GET http://h/x?y=1 HTTP/1.1\r\nHost: z\r\n\r\n")
    upgrade = get("/u", "Connection: Upgrade\r\nUpgrade: h2c\r\n")
    answer = talk(upgrade + get("/after"))
    assert b"/u  " in answer and answer.endswith(b"/after  ")


def test_slow_head_slow_body_and_idle_connections_end():
    slow = get("/a", "Content-Length: 10\r\n", "POST") + b"abc"
    for data, start, limits in (
        (b"GET / HT", b"HTTP/1.1 408", Limits(head_s=0.2)),
        (slow, b"HTTP/1.1 400", Limits(body_idle_s=0.2)),
        (b"", b"", Limits(keep_alive_s=0.2)),
    ):
        answer = talk(data, limits, eof=False)
        assert answer.startswith(start) and (answer or not data)


def test_client_that_does_not_read_is_cut():
    gone: list[bool] = []

    def endless(request):
        request.headers["gone"] = gone
        return _endless(request)

    async def test(server):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.transport.pause_reading()
        writer.write(get("/endless"))
        await until(lambda: gone and not server.connections)
        writer.close()

    run(test, Limits(write_stall_s=0.3), endless)


def test_lost_client_cancels_a_reading_handler():
    ended: list[BaseException] = []
    begun = asyncio.Event()

    async def handle(request):
        begun.set()
        try:
            return await _count(request)
        except BaseException as e:
            ended.append(e)
            raise

    async def test(server):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/a", "Content-Length: 5000000\r\n", "PUT") + b"abc")
        await begun.wait()
        writer.transport.abort()
        await until(lambda: ended)

    run(test, None, handle)


def test_back_pressure_stops_the_sender():
    held = asyncio.Event()

    async def handle(request):
        await held.wait()
        return await _count(request)

    async def test(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        size = 40 * 1024 * 1024
        writer.write(get("/a", f"Content-Length: {size}\r\nConnection: close\r\n", "PUT"))
        writer.write(b"x" * size)
        await asyncio.sleep(0.3)
        assert writer.transport.get_write_buffer_size() > size // 2
        held.set()
        assert (await reader.read()).endswith(b"\r\n\r\n%d" % size)
        writer.close()

    run(test, None, handle)


def test_early_answer_to_an_unread_body_arrives():
    async def test(server):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/a", "Content-Length: 5000000\r\n", "PUT") + b"x" * 1_000_000)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 403") and b"connection: close" in answer
        writer.close()

    run(test, None, lambda request: HttpResponse(403, [], b"no"))


def test_stop_finishes_what_is_in_flight():
    begun = asyncio.Event()

    def handle(request):
        begun.set()
        return _later(request)

    async def test(server):
        idle = await asyncio.open_connection("127.0.0.1", server.port)
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/late"))
        await begun.wait()
        await server.stop()
        assert b"late /late" in await reader.read()
        assert await idle[0].read() == b""
        writer.close()
        idle[1].close()

    run(test, None, handle)


def test_who_was_let_in_as_the_server_stopped_is_answered_once():
    async def test(server):
        server.stopping = True  # the listener is closed a moment later
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get("/") + get("/second"))
        told = await reader.read()
        assert told.startswith(b"HTTP/1.1 200") and told.count(b"HTTP/1.1") == 1
        silent, other = await asyncio.open_connection("127.0.0.1", server.port)
        assert await silent.read() == b""
        writer.close()
        other.close()
        server.stopping = False  # what follows stops it in earnest

    run(test)


def test_connections_per_address_are_bounded():
    async def test(server):
        held = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert (await reader.read()).startswith(b"HTTP/1.1 503")
        for _, w in [*held, (reader, writer)]:
            w.close()

    run(test, Limits(connections_per_address=2))


def test_connections_within_the_machine_are_not_paced():
    for host, within in (("127.0.0.1", True), ("localhost", True), ("0.0.0.0", False)):
        with bind(host, 0) as sock, socket.socket() as other:
            told = [
                s.getsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, 16).strip(b"\0")
                for s in (sock, other)
            ]
            assert told[0] == (b"reno" if within else told[1])


def _connections() -> int:
    return sum(type(each) is Connection for each in gc.get_objects())


@pytest.mark.parametrize("path", ["/a", "/late", "/file", "/chunked"])
def test_a_connection_that_ends_leaves_the_collector_nothing(path: str) -> None:
    async def test(server):
        gc.collect()
        before = _connections()  # other tests' may be held by what pytest shows of them
        gc.disable()
        try:
            for _ in range(3):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(
                    f"PUT {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 1\r\n\r\nx".encode()
                )
                assert await reader.read(12) == b"HTTP/1.1 200"
                writer.close()
            await until(lambda: not server.connections)
            await until(lambda: _connections() <= before)
        finally:
            gc.enable()

    run(test)
