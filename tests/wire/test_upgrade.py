"""A 101 hands the connection to its body (RFC 9110, 7.8)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from pileus.services.call import Duplex, HttpRequest, HttpResponse, Upgrade
from pileus.wire.http import Server, serve
from pileus.wire.limits import Limits

ASK = b"GET /ws HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"
Client = Callable[[asyncio.StreamReader, asyncio.StreamWriter, "Echo"], Awaitable[None]]


class Echo(Upgrade):
    def __init__(self) -> None:
        self.over = asyncio.Event()
        self.dropped = False
        self.server: Server | None = None

    async def run(self, client: Duplex) -> None:
        try:
            while data := await client.read():
                if data == b"bye":
                    return
                await client.write(data.upper())
        finally:
            self.over.set()

    def drop(self) -> None:
        self.dropped = True


def with_server(client: Client, after_bytes: int = 0) -> None:
    """``after_bytes``: what the server has to read before the connection is handed over."""

    async def main() -> None:
        body = Echo()

        async def handle(request: HttpRequest) -> HttpResponse:
            await asyncio.sleep(0)
            while server.bytes_in < after_bytes:  # noqa: ASYNC110  (a counter)
                await asyncio.sleep(0.01)
            headers = [("connection", "upgrade"), ("upgrade", "echo")]
            return HttpResponse(101, headers, body)

        server = body.server = await serve(handle, ("127.0.0.1", 0))
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            async with asyncio.timeout(60):
                await client(reader, writer, body)
        finally:
            writer.close()
            await server.stop(0.1)

    asyncio.run(main())


def test_bytes_go_both_ways_and_the_body_ends_it() -> None:
    async def client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Echo
    ) -> None:
        writer.write(ASK)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 ") and b"upgrade: echo" in head
        assert b"content-length" not in head and b"transfer-encoding" not in head
        assert body.server is not None
        (connection,) = body.server.connections
        connection._limits = Limits(keep_alive_s=0.3, head_s=0.3)
        for word in (b"one", b"two"):
            writer.write(word)
            assert await reader.readexactly(3) == word.upper()
            await asyncio.sleep(0.6)  # longer than an idle connection may last here
        writer.write(b"bye")
        assert await reader.read() == b""
        await body.over.wait()

    with_server(client)


def test_a_client_that_leaves_ends_the_body() -> None:
    async def client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Echo
    ) -> None:
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()
        await body.over.wait()

    with_server(client)


def test_who_does_not_wait_is_cut() -> None:
    async def client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Echo
    ) -> None:
        writer.write(ASK)
        await asyncio.sleep(0.05)
        writer.write(SMUGGLED)
        with contextlib.suppress(ConnectionResetError):  # cut hard: as good
            assert await reader.read() == b""
        assert body.dropped and not body.over.is_set()

    with_server(client, after_bytes=len(ASK + SMUGGLED))


def test_a_client_that_does_not_read_is_waited_for() -> None:
    async def client(
        reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: Echo
    ) -> None:
        writer.write(ASK)
        await reader.readuntil(b"\r\n\r\n")
        sent = b"x" * (8 * 1024 * 1024)
        writer.write(sent)
        await asyncio.sleep(0.3)
        got = 0
        while got < len(sent):
            got += len(await reader.read(1 << 20))
        assert got == len(sent)

    with_server(client)
