"""Length-prefixed frames on a stream socket: 4 bytes length (little endian), 1 byte kind, body.

Used between the clients and the runtime, and between the runtime and its Python workers.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import cast

HEAD = struct.Struct("<IB")
FRAME_BYTES_MAX = 64 * 1024 * 1024


class FrameProtocol(asyncio.Protocol):
    """Cuts the incoming bytes into frames. ``on_frame(kind, body)`` is called for each,
    ``on_lost(exception)`` once at the end. A frame over the limit ends the connection."""

    def __init__(
        self,
        on_frame: Callable[[int, memoryview], None],
        on_lost: Callable[[Exception | None], None],
        frame_bytes_max: int = FRAME_BYTES_MAX,
    ) -> None:
        self._on_frame = on_frame
        self._on_lost = on_lost
        self._max = frame_bytes_max
        self._pending = bytearray()
        self._aborted = False
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._on_lost(exc)

    def send(self, kind: int, *parts: bytes) -> None:
        """Queue one frame. A lost connection swallows it: ``on_lost`` has already told."""
        if self.transport is not None:
            size = sum(map(len, parts))
            self.transport.write(b"".join((HEAD.pack(size, kind), *parts)))

    def data_received(self, data: bytes) -> None:
        if not self._pending:
            used = self._cut(data)
            if used < len(data):
                self._pending += memoryview(data)[used:]
            return
        self._pending += data
        size = HEAD.unpack_from(self._pending)[0] if len(self._pending) >= HEAD.size else 0
        if len(self._pending) >= HEAD.size + size:
            whole = bytes(self._pending)
            self._pending = bytearray(whole[self._cut(whole) :])
        elif size > self._max:
            self.abort()

    def _cut(self, data: bytes) -> int:
        """Hand out the whole frames in ``data``; answer how many bytes they took."""
        at = 0
        view = memoryview(data)
        while len(data) - at >= HEAD.size and not self._aborted:
            size, kind = HEAD.unpack_from(data, at)
            if size > self._max:
                self.abort()
                return len(data)
            end = at + HEAD.size + size
            if end > len(data):
                break
            self._on_frame(kind, view[at + HEAD.size : end])
            at = end
        return at

    def abort(self) -> None:
        """Break the connection; frames already here are not looked at."""
        self._aborted = True
        if self.transport is not None:
            self.transport.abort()
