"""The door from a worker's network to the internet: an HTTP proxy that keeps ``egress``'s policy.

CONNECT tunnels (RFC 9110 section 9.3.6) and plain requests in absolute form. Every refusal is an
answer that says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import urlsplit

from pileus.runtime import egress

HEAD_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 128  # of one worker
HEAD_TIMEOUT_S = 30.0
CONNECT_TIMEOUT_S = 10.0
IDLE_TIMEOUT_S = 900.0
CHUNK_BYTES = 64 * 1024
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Neighbours = Callable[[str, int], Awaitable["Streams | None"]]
HOP_HEADERS = (b"proxy-connection:", b"proxy-authorization:", b"connection:", b"keep-alive:")


class Proxy:
    """Serves one worker's proxy socket. ``allowed``: addresses permitted in spite of the
    policy."""

    def __init__(self, allowed: egress.Allowed = egress.NOTHING) -> None:
        self._allowed = allowed
        # Names answered inside: a connection, or None for a name of the outside world.
        self.neighbours: Neighbours | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, listener: socket.socket) -> None:
        self._server = await asyncio.start_server(
            self._on_connection, sock=listener, limit=HEAD_BYTES_MAX
        )

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._tasks):
            task.cancel()

    async def _on_connection(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            if len(self._tasks) > CONNECTIONS_MAX:
                await _answer(writer, 503, "too many connections")
                return
            await self._serve(reader, writer)
        except (OSError, EOFError, TimeoutError, asyncio.LimitOverrunError):
            pass  # a broken connection concerns its two ends only: both are closed
        finally:
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(HEAD_TIMEOUT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        try:
            method, target, host, port = parse_request(head)
        except ValueError as e:
            await _answer(writer, 400, str(e))
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                far = await self._reach(host, port)
        except egress.Refused as e:
            await _answer(writer, 403, f"egress policy: {e}")
            return
        except (OSError, TimeoutError) as e:
            await _answer(writer, 502, f"cannot reach {host}: {e or 'timed out'}")
            return
        if method == "CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            far[1].write(forward_head(head, method, target))
        await _both_ways(reader, writer, *far)

    async def _reach(self, host: str, port: int) -> Streams:
        if self.neighbours is not None:
            near = await self.neighbours(host, port)
            if near is not None:
                return near
        goal = await egress.resolve(host, port, self._allowed)
        return await asyncio.open_connection(goal.address, goal.port, family=goal.family)


def parse_request(head: bytes) -> tuple[str, str, str, int]:
    """(method, target to send on, host, port) of a proxy request's head. Raises ``ValueError``."""
    words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        raise ValueError("malformed request line")
    method, target = words[0], words[1]
    if method == "CONNECT":
        parts = urlsplit(f"//{target}")
        if not parts.hostname or not parts.port:
            raise ValueError("CONNECT needs host:port")
        return method, target, parts.hostname, parts.port
    parts = urlsplit(target)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("a proxy request needs an absolute http:// address")
    path = parts.path or "/"
    wanted = f"{path}?{parts.query}" if parts.query else path
    return method, wanted, parts.hostname, parts.port or 80


def forward_head(head: bytes, method: str, target: str) -> bytes:
    """The head for the origin: origin-form target, no proxy headers, one request only."""
    lines = head.rstrip(b"\r\n").split(b"\r\n")[1:]
    kept = [line for line in lines if not line.lower().startswith(HOP_HEADERS)]
    first = f"{method} {target} HTTP/1.1".encode("latin-1")
    return b"\r\n".join((first, *kept, b"Connection: close", b"", b""))


async def _answer(writer: asyncio.StreamWriter, status: int, text: str) -> None:
    reason = {400: "Bad Request", 403: "Forbidden", 502: "Bad Gateway"}.get(status, "Unavailable")
    body = f"{text}\n".encode()
    head = (
        f"HTTP/1.1 {status} {reason}\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    with contextlib.suppress(OSError):
        await writer.drain()


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    far_reader: asyncio.StreamReader,
    far_writer: asyncio.StreamWriter,
) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(_copy(reader, far_writer))
            group.create_task(_copy(far_reader, writer))
    except* (OSError, TimeoutError):
        pass  # one end broke: closing both tells the other
    finally:
        far_writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            chunk = await reader.read(CHUNK_BYTES)
        if not chunk:
            if writer.can_write_eof():
                writer.write_eof()
            return
        writer.write(chunk)
        await writer.drain()
