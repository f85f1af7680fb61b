"""Requests handed to a copy that is silent, ends too early, or answers (RFC 9110, 9.2.2)."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from pileus.services.call import HttpRequest, HttpResponse
from pileus.services.http_wire import Wire
from pileus.services.longrunning import proxying
from pileus.services.longrunning.proxying import Broken, Proxying

Copy = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Target:
    """A copy at a port of loopback."""

    id, elsewhere, failures, active = "a-0-1", False, 0, 0

    def __init__(self, port: int) -> None:
        self._port = port
        self.connected = 0
        self.kept: list[Wire] = []

    async def connect(self) -> Wire:
        if self.kept:
            return self.kept.pop()
        self.connected += 1
        return Wire(*await asyncio.open_connection("127.0.0.1", self._port))

    def keep(self, wire: Wire) -> None:
        self.kept.append(wire)


class View:
    def __init__(self, target: Target) -> None:
        self._target = target

    async def wait(self, name: str, deadline: float, here_only: bool) -> list[Any]:
        return [self._target]


def with_copy(copy: Copy, check: Callable[[Proxying, Target], Awaitable[None]]) -> None:
    async def run() -> None:
        server = await asyncio.start_server(copy, "127.0.0.1", 0)
        target = Target(server.sockets[0].getsockname()[1])
        try:
            await check(Proxying(View(target)), target)  # type: ignore[arg-type]
        finally:
            server.close()
            for wire in target.kept:
                wire.close()

    asyncio.run(run())


async def ask(proxy: Proxying, method: str = "GET") -> HttpResponse:
    return await proxy.serve("a", HttpRequest(method, "/x", "", {"host": "h"}), "/x", "")


def test_a_silent_copy_is_told_of_and_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxying, "READ_S", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # until the other side goes
        writer.close()

    async def check(proxy: Proxying, target: Target) -> None:
        answer = await ask(proxy)
        assert (answer.status, target.connected, target.active) == (504, 1, 0)

    with_copy(silent, check)


@pytest.mark.parametrize(("method", "status", "tries"), [("GET", 503, 5), ("POST", 502, 1)])
def test_a_copy_that_ends_is_asked_again_where_that_is_safe(
    method: str, status: int, tries: int
) -> None:
    async def ends(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.close()

    async def check(proxy: Proxying, target: Target) -> None:
        answer = await ask(proxy, method)
        assert (answer.status, target.connected, target.active) == (status, tries, 0)

    with_copy(ends, check)


def test_a_connection_is_kept_after_a_whole_answer_only() -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n"
    answers = [head + b"whole"[:4], head + b"cu"]

    async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while answers:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answers.pop(0))
            await writer.drain()
        writer.close()

    async def check(proxy: Proxying, target: Target) -> None:
        first = await ask(proxy)
        assert (first.status, first.body, len(target.kept)) == (200, b"whol", 1)
        second = await ask(proxy, "POST")
        with pytest.raises(Broken, match="broke off: it closed"):
            [chunk async for chunk in second.body]  # type: ignore[union-attr]
        assert (target.connected, target.kept, target.active) == (1, [], 0)

    with_copy(copy, check)
