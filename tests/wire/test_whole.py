"""A request read in one piece is the request the parser would have read; in doubt it is left to
the parser."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.connection import Connection
from pileus.wire.http import Server
from pileus.wire.limits import Limits
from pileus.wire.whole import WholeRequests

PLAIN = (
    b"POST /b/k%20x?list-type=2 HTTP/1.1\r\nHost: localhost:4566\r\nContent-Length: 2\r\n"
    b"X-Amz-Date: 20261121T000000Z\r\nAuthorization: AWS4 a=b, c=d\r\n\r\nhi"
)


class _Transport:
    def __init__(self) -> None:
        self.sent = b""

    def __getattr__(self, name: str) -> Any:
        return lambda *a, **k: None

    def write(self, data: bytes) -> None:
        self.sent += data

    def is_closing(self) -> bool:
        return False


def parsed(data: bytes) -> list[HttpRequest]:
    """What the parser makes of ``data``."""
    seen: list[HttpRequest] = []

    async def run() -> None:
        def handler(request: HttpRequest) -> HttpResponse:
            seen.append(request)
            return HttpResponse()

        server = Server(handler, Limits())
        server.read = lambda data, remote: None  # type: ignore[method-assign]
        door = Connection(server)
        door.connection_made(_Transport())  # type: ignore[arg-type]
        door.data_received(data)

    asyncio.run(run())
    return seen


def whole(data: bytes) -> HttpRequest | None:
    return WholeRequests(32 * 1024).read(data, "127.0.0.1")


def test_a_plain_request_is_read_twice_the_same() -> None:
    reader = WholeRequests(32 * 1024)
    first, again = reader.read(PLAIN, "127.0.0.1"), reader.read(PLAIN, "127.0.0.1")
    assert first == again == parsed(PLAIN)[0]
    assert first is not None and first.headers["authorization"] == "AWS4 a=b, c=d"
    assert (first.path, first.query, first.body) == ("/b/k%20x", "list-type=2", b"hi")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"Content-Length: 2", b"Content-Length: 1"),
        (b"Content-Length: 2", b"Content-Length: 3"),
        (b"Content-Length: 2", b"Content-Length: +2"),
        (b"Content-Length: 2", b"Content-Length: 02"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nContent-Length: 2"),
        (b"Content-Length: 2", b"Content-Length: 2\r\nTransfer-Encoding: chunked"),
        (b"Content-Length: 2", b"Transfer-Encoding : chunked"),
        (b"Content-Length: 2\r\n", b""),
        (b"Host: localhost:4566", b"Host: a\r\nHost: b"),
        (b"Host: localhost:4566\r\n", b""),
        (b"Host: ", b"Host : "),
        (b"Host: ", b"X: 1\r\n folded\r\nHost: "),
        (b"Host: ", b"Expect: 100-continue\r\nHost: "),
        (b"Host: ", b"Connection: close\r\nHost: "),
        (b"Host: ", b"Connection: Upgrade\r\nUpgrade: h2c\r\nHost: "),
        (b"Host: ", b"X: a\x00b\r\nHost: "),
        (b"Host: ", b"X: a\nb\r\nHost: "),
        (b"Host: ", b"X: a\rb\r\nHost: "),
        (b"Host: ", b"noseparator\r\nHost: "),
        (b"HTTP/1.1", b"HTTP/1.0"),
        (b"HTTP/1.1\r\n", b"HTTP/1.1\n"),
        (b"/b/k", b"http://other/b/k"),
        (b"/b/k", b"/b/\xc3\xa9"),
        (b"POST", b"CONNECT"),
        (b"c=d", b"c=d "),
        (b"\r\n\r\nhi", b"\r\n\r\nhiGET / HTTP/1.1\r\nHost: x\r\n\r\n"),
        (b"\r\n\r\nhi", b"\r\nhi"),
    ],
)
def test_what_is_not_plain_is_left_to_the_parser(old: bytes, new: bytes) -> None:
    reader = WholeRequests(32 * 1024)
    reader.read(PLAIN, "127.0.0.1")
    assert old in PLAIN
    assert reader.read(PLAIN.replace(old, new, 1), "127.0.0.1") is None


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_never_more_lenient_than_the_parser(data: st.DataObject) -> None:
    raw = bytearray(PLAIN)
    pieces = (
        *(b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b": ", b"\x00", b"\xe9", b"\x7f", b"0", b"#"),
        *(b"Content-Length: 2\r\n", b"Transfer-Encoding: chunked\r\n", b"host: b\r\n", b"?", b"/"),
    )
    piece = st.sampled_from(pieces)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw)))
        raw[at : at + data.draw(st.integers(0, 2))] = data.draw(piece)
    found = whole(bytes(raw))
    if found is not None:
        assert parsed(bytes(raw)) == [found]
