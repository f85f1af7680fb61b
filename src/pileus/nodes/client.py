"""Requests from node to node: HTTP/1.1 over mutual TLS, bodies streamed both ways, connections
kept. Every step has a time limit; what goes wrong is ``PeerError``.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import NamedTuple

import httptools

from pileus.errors import Unavailable
from pileus.nodes.tls import name_of
from pileus.telemetry.others import Unreached

CONNECT_S, STEP_S, IDLE_S = 3.0, 10.0, 30.0
KEPT_MAX = 8  # idle connections to one node
HELD_BYTES_MAX = 1024 * 1024
PIECE_BYTES = 256 * 1024
NOTHING: Mapping[str, str] = {}
Body = bytes | AsyncIterator[bytes]


class PeerError(Unavailable):
    """A node cannot be reached, is too slow, or is not who it should be."""


class CannotReach(PeerError, Unreached):
    """No connection could be made."""


class Place(NamedTuple):
    """A node and where its door is."""

    name: str
    host: str
    port: int


class Line(asyncio.Protocol):
    """One connection, one exchange at a time (httptools calls the ``on_`` methods)."""

    def __init__(self, node: Place, step_s: float, held_bytes_max: int) -> None:
        self.node = node
        self._held_bytes_max = held_bytes_max
        self.idle_since = 0.0
        self.status = 0
        self.headers: dict[str, str] = {}
        self.closed = self.lost = self.cut = False
        self._step_s = step_s
        self._failure: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._paused_reading = self._paused_writing = False
        self._headed = self._done = self._bodyless = self._reusable = False

    # -- transport -------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = self.lost = True
        self._fail(exc or ConnectionResetError("the node closed the connection"))

    def eof_received(self) -> bool:
        return False

    def data_received(self, data: bytes) -> None:
        if not self._open:
            self.close()  # nothing was asked
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as e:
            self._fail(e)
            self.close()

    def pause_writing(self) -> None:
        self._paused_writing = True

    def resume_writing(self) -> None:
        self._paused_writing = False
        self._wake()

    # -- parser ----------------------------------------------------------------------------
    _open = False

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        self.status = self._parser.get_status_code()
        if self.status // 100 == 1:
            self.headers = {}
            return
        self._headed = True
        # The parser knows only now: at the message's end it has forgotten how it was framed.
        kept = self.headers.get("connection", "").lower() != "close"
        self._reusable = kept and (self._bodyless or self._parser.should_keep_alive())
        self._done = self._bodyless or self.status in (204, 304)
        self._wake()

    def on_body(self, body: bytes) -> None:
        self._chunks.append(body)
        self._held += len(body)
        if self._held > self._held_bytes_max and not self._paused_reading:
            self._paused_reading = True
            self._transport.pause_reading()
        self._wake()

    def on_message_complete(self) -> None:
        if self._headed:
            self._done = True
            self._wake()

    # -- waiting ---------------------------------------------------------------------------
    def _fail(self, error: Exception) -> None:
        self._failure = self._failure or error
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def _wait(self, limit_s: float) -> None:
        """Until something happens."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(limit_s):
                await self._waiter
        except TimeoutError:
            raise PeerError(f"{self.node.name} did not answer in {limit_s:g} s") from None
        finally:
            self._waiter = None

    def _check(self) -> None:
        if self._failure is not None:
            raise PeerError(f"{self.node.name}: {self._failure}") from self._failure

    # -- one exchange ----------------------------------------------------------------------
    def begin(self, method: str, head: bytes) -> None:
        """Send a request's head."""
        self._parser = httptools.HttpResponseParser(self)
        self.headers, self._open = {}, True
        self._headed = self._done = False
        self._bodyless = method == "HEAD"
        self._transport.write(head)

    async def send(self, data: bytes) -> bool:
        """Send a piece of the body; False: the node has answered already, it wants no more."""
        if self._headed:
            return False
        self._check()
        self._transport.write(data)
        while self._paused_writing and not self._headed:
            await self._wait(self._step_s)
            if not self._headed:
                self._check()
        return not self._headed

    async def answered(self, limit_s: float) -> None:
        """Until the head of the answer is here."""
        deadline = time.monotonic() + limit_s
        while not self._headed:
            self._check()
            await self._wait(max(deadline - time.monotonic(), 0.001))

    async def chunk(self) -> bytes:
        """The next piece of the answer; b"" at its end."""
        while not self._chunks:
            if self._done:
                return b""
            self._check()
            await self._wait(self._step_s)
        piece = self._chunks.popleft()
        self._held -= len(piece)
        if self._paused_reading and self._held < self._held_bytes_max // 2:
            self._paused_reading = False
            self._transport.resume_reading()
        return piece

    def finished(self) -> bool:
        """Whether the connection can carry another exchange."""
        whole = self._done and not (self._chunks or self.closed or self.cut or self._failure)
        if whole:
            self._open = False
        return whole and self._reusable

    def close(self) -> None:
        self.closed = True
        self._transport.abort()


class Answer:
    """An answer's status and headers; iterate for its body. ``close`` it in the end."""

    def __init__(self, line: Line, client: Client) -> None:
        self.status, self.headers = line.status, line.headers
        self._line: Line | None = line
        self._client = client

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.pieces()

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes."""
        try:
            while self._line is not None and (piece := await self._line.chunk()):
                yield piece
        finally:
            self.close()

    async def read(self, limit_bytes: int = 16 * 1024 * 1024) -> bytes:
        """The whole body; ``PeerError`` when it is longer than ``limit_bytes``."""
        parts, size = [], 0
        async for piece in self:
            parts.append(piece)
            size += len(piece)
            if size > limit_bytes:
                raise PeerError(f"an answer is longer than {limit_bytes} bytes")
        return b"".join(parts)

    def close(self) -> None:
        """Let go of the connection; it is kept when the answer was read to its end."""
        line, self._line = self._line, None
        if line is not None:
            self._client.give_back(line)


class Client:
    """Sends requests and keeps connections. One per process and loop. ``held_bytes_max``: of an
    answer, read ahead of who asked for it."""

    def __init__(
        self, tls: ssl.SSLContext, step_s: float = STEP_S, held_bytes_max: int = HELD_BYTES_MAX
    ) -> None:
        self._tls = tls
        self._step_s = step_s
        self._held_bytes_max = held_bytes_max
        self._kept: dict[Place, list[Line]] = {}

    async def send(
        self,
        node: Place,
        method: str,
        path: str,
        body: Body = b"",
        headers: Mapping[str, str] = NOTHING,
        answer_s: float = 0.0,
        once: bool = False,
    ) -> Answer:
        """One request; answers when the head of the answer is here (at most ``answer_s`` after the
        body went out; 0: the usual). ``body``: bytes, or pieces to be sent as they come. A kept
        connection that fails before any answer is replaced once, where the body can be sent
        again and need not be sent ``once``."""
        head = _head(node, method, path, body, headers)
        line = self._take(node)
        if line is not None and isinstance(body, bytes) and not once:
            try:
                return await self._exchange(line, method, head, body, answer_s)
            except PeerError:
                if not line.lost:  # slow, not gone: once is enough
                    raise
                line = None
        line = line or await self._connect(node)
        return await self._exchange(line, method, head, body, answer_s)

    async def _exchange(
        self, line: Line, method: str, head: bytes, body: Body, answer_s: float
    ) -> Answer:
        try:
            if isinstance(body, bytes):
                line.begin(method, head + body)
            else:
                line.begin(method, head)
                await _stream(line, body)
            await line.answered(answer_s or self._step_s)
        except BaseException:
            line.close()
            raise
        return Answer(line, self)

    async def _connect(self, node: Place) -> Line:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_S):
                transport, line = await loop.create_connection(
                    lambda: Line(node, self._step_s, self._held_bytes_max),
                    node.host,
                    node.port,
                    ssl=self._tls,
                )
        except (OSError, TimeoutError) as e:  # SSLError is an OSError
            where = f"{node.name} ({node.host}:{node.port})"
            raise CannotReach(f"{where} cannot be reached: {e}") from e
        told = name_of(transport.get_extra_info("peercert"))
        if told != node.name:
            line.close()
            raise PeerError(f"at {node.host}:{node.port} is {told}, not {node.name}")
        transport.set_write_buffer_limits(high=HELD_BYTES_MAX)
        return line

    def _take(self, node: Place) -> Line | None:
        lines = self._kept.get(node, [])
        while lines:
            line = lines.pop()
            if not line.closed and time.monotonic() - line.idle_since < IDLE_S:
                return line
            line.close()
        return None

    def give_back(self, line: Line) -> None:
        """An exchange is over."""
        lines = self._kept.setdefault(line.node, [])
        if line.finished() and len(lines) < KEPT_MAX:
            line.idle_since = time.monotonic()
            lines.append(line)
        else:
            line.close()

    def close(self) -> None:
        for lines in self._kept.values():
            for line in lines:
                line.close()
        self._kept.clear()


async def _stream(line: Line, body: AsyncIterator[bytes]) -> None:
    """Send pieces chunked; they end early when the node has answered."""
    async for piece in body:
        if piece and not await line.send(b"%x\r\n%b\r\n" % (len(piece), piece)):
            line.cut = True
            return
    line.cut = not await line.send(b"0\r\n\r\n")


def _head(node: Place, method: str, path: str, body: Body, headers: Mapping[str, str]) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", f"host: {node.name}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    if not isinstance(body, bytes):
        lines.append("transfer-encoding: chunked")
    elif body or method in ("PUT", "POST"):
        lines.append(f"content-length: {len(body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
