"""An upgraded connection as its new owner sees it: bytes to read, bytes to write, with
back-pressure both ways."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, Protocol

from pileus.services.call import HttpResponse, Upgrade
from pileus.wire.respond import BrokenBody, head

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.reader import Inbound

HELD_BYTES_MAX = 256 * 1024


class Held(Protocol):
    """What an inlet needs of a connection."""

    transport: Any
    loop: asyncio.AbstractEventLoop

    async def drain(self) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...


class Inlet:
    """``services.call.Duplex`` over a connection, which ``feed``s it and tells the ``end``."""

    def __init__(self, connection: Held) -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._held = False
        self._waiter: asyncio.Future[None] | None = None

    def feed(self, data: bytes) -> None:
        self._chunks.append(data)
        self._size += len(data)
        if self._size > HELD_BYTES_MAX and not self._held:
            self._held = True
            self._connection.hold()
        self._wake()

    def end(self) -> None:
        """The client sends no more."""
        self._ended = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """What arrived next; b"" at the end."""
        while not self._chunks:
            if self._ended:
                return b""
            self._waiter = self._connection.loop.create_future()
            await self._waiter
        data = self._chunks.popleft()
        self._size -= len(data)
        if self._held and self._size <= HELD_BYTES_MAX // 2:
            self._held = False
            self._connection.release()
        return data

    async def write(self, data: bytes) -> None:
        """Send; waits until the client has taken enough."""
        self._connection.transport.write(data)
        await self._connection.drain()


async def upgrade(c: Connection, inbound: Inbound, response: HttpResponse, body: Upgrade) -> None:
    """A connection is the body's until that returns or the client leaves."""
    if c._queue or c._reader.in_message or c._deaf:
        body.drop()  # bytes that came before they were asked for
        raise BrokenBody("the client did not wait for the upgrade")
    c._deaf, inbound.keep_alive = True, False
    c._inlet = Inlet(c)
    c.transport.write(head(response, c.server.date, ""))
    try:
        await body.run(c._inlet)
    finally:
        c._inlet = None
