"""A connection goes to the process that writes between two of its requests, and nobody notices."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.handing_over import ARRIVED_MAX, LOOK_EVERY, HandingOver, Taking
from pileus.wire.http import Handler, Server, serve

LARGE = 32 * 1024 * 1024  # more than the kernel takes from one side before the other reads
ASK = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"


class Two:
    """A server that gives, one that takes, and a client of the first. Who answered is in the
    body."""

    def __init__(self, home: Path) -> None:
        self.path = home / "connections.sock"
        self.writes = True
        self.hold = asyncio.Event()  # cleared: an answer takes its time
        self.hold.set()

    async def __aenter__(self) -> Two:
        self.giving = await serve(self._answering(b"giving"), ("127.0.0.1", 0))
        self.other = await serve(self._answering(b"taking"), ("127.0.0.1", 0))
        self.giving.handing_over = HandingOver(self.path)
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.giving.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()
        for server in (self.giving, self.other):
            await server.stop(60)

    def _answering(self, name: bytes) -> Handler:
        async def later(told: HttpResponse) -> HttpResponse:
            await self.hold.wait()
            return told

        def answer(request: HttpRequest) -> HttpResponse | Awaitable[HttpResponse]:
            if self.writes and name == b"giving":
                self._wrote(self.giving)
            told = HttpResponse(200, [], request.path.encode() + b" " + name)
            return told if self.hold.is_set() else later(told)

        return answer

    @staticmethod
    def _wrote(server: Server) -> None:
        """As a write's answer does, where it is sent."""
        (connection,) = server.connections
        assert server.handing_over is not None
        asyncio.get_running_loop().call_soon(server.handing_over.wrote, connection)

    def send(self, first: int, count: int = 1) -> None:
        self.writer.write(b"".join(ASK % n for n in range(first, first + count)))

    async def answer(self) -> tuple[int, str]:
        head = await self.reader.readuntil(b"\r\n\r\n")
        size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
        number, who = (await self.reader.readexactly(size)).decode()[1:].split(" ")
        return int(number), who

    async def asked(self, number: int) -> str:
        """Who answered, asked alone."""
        self.send(number)
        told, who = await self.answer()
        assert told == number
        return who

    async def until_taken(self, taking: Taking) -> int:
        """How many answers of the giving side until the other one has the connection."""
        for number in range(100 * LOOK_EVERY):
            if await self.asked(number) == "taking":
                assert taking.taken == 1
                return number
            await asyncio.sleep(0)
        raise AssertionError("nobody took it")


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.001)


@pytest.fixture
def two(tmp_path: Path) -> Callable[[Callable[[Two], Awaitable[None]]], None]:
    def go(body: Callable[[Two], Awaitable[None]]) -> None:
        async def whole() -> None:
            async with Two(tmp_path) as both:
                await body(both)

        asyncio.run(whole())

    return go


def test_who_writes_goes_to_the_writer(two: Callable[..., None]) -> None:
    async def body(both: Two) -> None:
        taking = Taking(both.path, both.other)
        assert await both.until_taken(taking) >= LOOK_EVERY
        assert (len(both.giving.connections), len(both.other.connections)) == (0, 1)
        assert both.giving.addresses == {} and both.other.addresses == {"127.0.0.1": 1}
        for number in range(3 * LOOK_EVERY):
            assert await both.asked(number) == "taking"
        taking.close()
        assert not both.path.exists()

    two(body)


def test_who_reads_stays(two: Callable[..., None]) -> None:
    """Now and then a write is none to move for."""

    async def body(both: Two) -> None:
        taking = Taking(both.path, both.other)
        for number in range(4 * (ARRIVED_MAX + LOOK_EVERY)):
            both.writes = number % 4 == 0
            assert await both.asked(number) == "giving"
        assert taking.taken == 0
        taking.close()

    two(body)


def test_nobody_to_take_and_then_somebody(two: Callable[..., None]) -> None:
    async def body(both: Two) -> None:
        for number in range(4 * LOOK_EVERY):
            assert await both.asked(number) == "giving"
        first = Taking(both.path, both.other)
        first.close()  # it ended: the connection to it is of no use
        for number in range(4 * LOOK_EVERY):
            assert await both.asked(number) == "giving"
        taking = Taking(both.path, both.other)
        await both.until_taken(taking)
        taking.close()

    two(body)


def test_what_was_sent_is_answered_in_order(two: Callable[..., None]) -> None:
    """Requests of which many are under way at once, and parts of others."""

    async def body(both: Two) -> None:
        taking = Taking(both.path, both.other)
        asked = both.giving.limits.pipelined // 2
        answered = []
        for burst in range(200):
            both.send(burst * asked, asked - 1)
            whole = ASK % (burst * asked + asked - 1)
            both.writer.write(whole[: burst % len(whole)])
            await asyncio.sleep(0.001 * (burst % 3))
            both.writer.write(whole[burst % len(whole) :])
            answered += [await both.answer() for _ in range(asked)]
            if taking.taken and burst % asked == 0:
                break
        assert [number for number, _ in answered] == list(range(len(answered)))
        assert taking.taken == 1
        assert sorted({who for _, who in answered}) == ["giving", "taking"]
        taking.close()

    two(body)


def test_no_request_is_cut_in_two(two: Callable[..., None]) -> None:
    """It stays while a part of a request is here, while one is answered, while bytes of an answer
    wait for the client."""

    async def body(both: Two) -> None:
        taking = Taking(both.path, both.other)
        both.writes = False
        assert await both.asked(0) == "giving"
        (connection,) = both.giving.connections
        giving, reader = both.giving.handing_over, connection._reader
        assert giving is not None
        both.writer.write((ASK % 1)[:10])
        await until(lambda: reader.in_message)
        giving._give(connection, 0)
        both.writer.write((ASK % 1)[10:])
        assert await both.answer() == (1, "giving")
        both.hold.clear()
        both.send(2)
        await until(lambda: connection._current is not None)
        giving._give(connection, 0)
        both.hold.set()
        assert await both.answer() == (2, "giving")
        large = b"/3 " + bytes(LARGE)
        connection.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(large))
        connection.transport.write(large)
        giving._give(connection, 0)
        assert (await both.answer())[0] == 3
        assert not connection.transport.is_closing()
        giving._give(connection, 0)
        assert await both.asked(4) == "taking"
        taking.close()

    two(body)


def test_a_client_that_leaves_meanwhile(two: Callable[..., None]) -> None:
    async def body(both: Two) -> None:
        taking = Taking(both.path, both.other)
        both.send(0, LOOK_EVERY)
        for _ in range(LOOK_EVERY):
            await both.answer()
        both.writer.close()
        await until(lambda: not (both.giving.connections or taking._accepting))
        await until(lambda: not both.other.connections)
        taking.close()

    two(body)
