"""Send a finite stream of requests over a few connections, each as soon as the last is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

CONNECTIONS = 48


class _Spout(asyncio.Protocol):
    def __init__(self, requests: Iterator[bytes], ended: asyncio.Future[int]) -> None:
        self._requests = requests
        self._ended = ended
        self._buffer = b""
        self._errors = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]
        self._next()

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self._buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(self._buffer) < end + 4 + length:
            return
        self._errors += head[9:10] != b"2"
        self._buffer = b""
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._ended.done():
            self._ended.set_result(self._errors + (exc is not None))


async def pour(port: int, requests: Iterator[bytes]) -> int:
    """All of ``requests``; answers how many were not answered with 2xx."""
    loop = asyncio.get_running_loop()
    ends = []
    for _ in range(CONNECTIONS):
        ended: asyncio.Future[int] = loop.create_future()
        await loop.create_connection(lambda e=ended: _Spout(requests, e), "127.0.0.1", port)  # type: ignore[misc]
        ends.append(ended)
    return sum(await asyncio.gather(*ends))
