"""The door from a worker's network to the AWS endpoint: bytes in, bytes out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    import ssl

    from pileus.runtime.authority import Authority

CONNECTIONS_MAX = 256  # of one worker
HIGH_WATER_BYTES = 256 * 1024


class Half(asyncio.Protocol):
    """One side of a relayed connection. What it receives goes to ``peer``."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.peer: Half | None = None
        self.early: list[bytes] = []
        self.ended = False
        self.on_made: Callable[[], None] | None = None
        self.on_closed: Callable[[], None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH_WATER_BYTES)
        if self.on_made is not None:
            self.on_made()

    def data_received(self, data: bytes) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.write(data)
            return
        self.early.append(data)
        if self.transport is not None and sum(map(len, self.early)) > HIGH_WATER_BYTES:
            self.transport.pause_reading()

    def eof_received(self) -> bool:
        self.ended = True
        if self.peer is not None and self.peer.transport is not None:
            if self.peer.transport.can_write_eof():
                self.peer.transport.write_eof()
            else:  # TLS ends both ways at once
                self.peer.transport.close()
        return self.transport is not None and self.transport.can_write_eof()

    def pause_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()
        if self.on_closed is not None:
            self.on_closed()


def join(near: Half, far: Half) -> None:
    """Connect two halves; what came early goes out first."""
    near.peer, far.peer = far, near
    for a, b in ((near, far), (far, near)):
        if a.transport is None:
            if b.transport is not None:
                b.transport.close()
            continue
        if b.transport is not None and a.early:
            b.transport.write(b"".join(a.early))
        a.early.clear()
        a.transport.resume_reading()
        if a.ended:
            a.eof_received()


class Relay:
    """Serves one worker's endpoint socket. ``address`` is (host, port) of the API; ``tls``: by
    whom workers speak TLS there, None: they speak what the API does."""

    def __init__(self, address: tuple[str, int], tls: Authority | None = None) -> None:
        self._address = address
        self._tls = tls
        self._listener: socket.socket | None = None  # until the first who speaks TLS comes
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._open: set[Half] = set()

    async def start(self, listener: socket.socket) -> None:
        if self._tls is None:
            await self._serve(listener)
        else:
            self._listener = listener
            asyncio.get_running_loop().add_reader(listener, self._secure, listener, self._tls)

    def _secure(self, listener: socket.socket, tls: Authority) -> None:
        """Somebody waits at the door: from now on it is served."""
        self._leave()
        task = asyncio.get_running_loop().create_task(self._serve(listener, tls.context))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _leave(self) -> socket.socket | None:
        listener, self._listener = self._listener, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
        return listener

    async def _serve(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, sock=listener, ssl=tls)

    def _accept(self) -> Half:
        near = Half()
        near.on_closed = lambda: self._open.discard(near)
        near.on_made = lambda: self._begin(near)  # by TLS: once the client has agreed to it
        return near

    def _begin(self, near: Half) -> None:
        self._open.add(near)
        task = asyncio.get_running_loop().create_task(self._connect(near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, near: Half) -> None:
        far = Half()
        try:
            if len(self._open) > CONNECTIONS_MAX:
                raise ConnectionRefusedError
            await asyncio.get_running_loop().create_connection(lambda: far, *self._address)
        except OSError:  # the function sees its connection closed, as with any dead server
            if near.transport is not None:
                near.transport.abort()
            return
        join(near, far)

    def close(self) -> None:
        unserved = self._leave()
        if unserved is not None:
            unserved.close()
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()
        for half in list(self._open):
            if half.transport is not None:
                half.transport.abort()
