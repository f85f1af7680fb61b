"""One connection to an HTTP/1.1 server, and the answer that is read on it: its head, then its body
as it comes (RFC 9112).

Shared by those who send requests on: out of the cloud (``outbound``) and to the copies of
long-running services.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

import httptools

from pileus.services.call import Headers

HEAD_BYTES_MAX = 64 * 1024
CHUNK = 64 * 1024
FRAMED = frozenset({"content-length", "transfer-encoding"})


@dataclass(slots=True)
class Wire:
    """Reads one answer at a time (httptools calls the ``on_`` methods). What it reads with raises
    ``OSError`` (``TimeoutError`` among them) or ``httptools.HttpParserError``."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    parser: httptools.HttpResponseParser | None = None
    headers: Headers = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)
    head_done: bool = False
    done: bool = False
    keep_alive: bool = False
    idle_since: float = 0.0

    def begin(self) -> httptools.HttpResponseParser:
        """Ready for the next answer."""
        self.parser = httptools.HttpResponseParser(self)
        self.headers, self.chunks, self.head_done, self.done = [], [], False, False
        return self.parser

    async def read_head(self) -> None:
        """Read until the head of the answer is whole."""
        assert self.parser is not None
        seen = 0
        while not self.head_done:
            data = await self.reader.read(CHUNK)
            seen += len(data)
            if not data:
                raise ConnectionResetError("it closed the connection before it answered")
            if seen > HEAD_BYTES_MAX + CHUNK:
                raise ConnectionResetError("the head of its answer does not end")
            self.parser.feed_data(data)

    async def pieces(self, read_s: float) -> AsyncGenerator[bytes, None]:
        """The body as it comes, at most ``read_s`` seconds between two pieces. ``reusable`` tells
        the truth after its end."""
        assert self.parser is not None
        framed = any(name in FRAMED for name, _ in self.headers)
        while True:
            chunks, self.chunks = self.chunks, []
            for chunk in chunks:
                yield chunk
            if self.done:
                return
            async with asyncio.timeout(read_s):
                data = await self.reader.read(CHUNK)
            if not data:
                if framed:
                    raise ConnectionResetError("it closed the connection in its answer")
                return
            self.parser.feed_data(data)

    @property
    def reusable(self) -> bool:
        """Whether another request may follow: this answer was read to its end."""
        return self.done and self.keep_alive

    def fresh(self, idle_s_max: float) -> bool:
        """Whether it was not idle for too long, and is open at both ends."""
        idle_s = time.monotonic() - self.idle_since
        return idle_s < idle_s_max and not self.reader.at_eof() and not self.writer.is_closing()

    def close(self) -> None:
        self.writer.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        assert self.parser is not None
        if self.parser.get_status_code() // 100 == 1:
            self.headers = []  # 100 Continue, 103 Early Hints: the answer follows
        else:
            self.head_done = True
            self.keep_alive = self.parser.should_keep_alive()  # it forgets this with the body's end

    def on_body(self, body: bytes) -> None:
        self.chunks.append(body)

    def on_message_complete(self) -> None:
        self.done = self.head_done
