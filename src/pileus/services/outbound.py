"""HTTP requests that leave the cloud on somebody's word: origins, integrations, key sets.

They obey ``runtime.egress``, as functions do: the address is checked and then connected to. Hosts
of this cloud are asked in process.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections import OrderedDict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

import httptools

from pileus.errors import Unavailable
from pileus.runtime import egress
from pileus.services import inside
from pileus.services.call import Headers, HttpRequest, Upgrade
from pileus.services.http_wire import CHUNK, Wire

IDLE_S, IDLE_MAX = 20.0, 64
HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)


class OutboundError(Unavailable):
    """The other side cannot be reached, or does not speak HTTP."""


@dataclass(slots=True)
class Answer:
    """The head of an answer; ``body`` yields what follows. ``close`` must be called in the end."""

    status: int
    headers: Headers
    body: AsyncIterator[bytes]
    close: Callable[[], None]

    def header(self, name: str) -> str:
        return next((v for n, v in self.headers if n == name), "")

    async def read(self, limit_bytes: int) -> bytes:
        """The whole body; ``OutboundError`` when it is longer than ``limit_bytes``."""
        parts, size = [], 0
        async for chunk in self.body:
            parts.append(chunk)
            size += len(chunk)
            if size > limit_bytes:
                self.close()
                raise OutboundError(f"the answer is longer than {limit_bytes} bytes")
        return b"".join(parts)


class Body(AsyncIterator[bytes]):
    """An answer's chunks. Closed before the first one was asked for, it closes the connection,
    which a generator that never ran could not."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], wire: Wire) -> None:
        self._chunks = chunks
        self._wire = wire
        self._begun = False

    async def __anext__(self) -> bytes:
        self._begun = True
        return await anext(self._chunks)

    async def aclose(self) -> None:
        if not self._begun:
            self._wire.close()
        await self._chunks.aclose()


class Outbound:
    """Sends requests, keeps idle connections. One per process."""

    def __init__(self, allowed: egress.Allowed = egress.NOTHING) -> None:
        self._allowed = allowed
        self._inside: inside.Inside | None = None
        self._idle: OrderedDict[tuple[str, str, int], list[Wire]] = OrderedDict()
        self._tls: ssl.SSLContext | None = None

    def connect(self, front: inside.Handler) -> None:
        """``front`` answers for this cloud's own hosts from now on."""
        self._inside = inside.Inside(front)

    async def send(
        self,
        method: str,
        url: str,
        headers: Headers,
        body: bytes = b"",
        *,
        connect_s: float = 10.0,
        read_s: float = 30.0,
        remote: str = "127.0.0.1",
    ) -> Answer:
        """Send one request to ``url`` and wait for the head of its answer.

        ``headers`` go as they are (``host`` and ``content-length`` are added where missing). Raises
        ``OutboundError`` (refused, unreachable, not HTTP) or ``TimeoutError``. A kept connection
        that the other side closed meanwhile is replaced once, for methods safe to repeat.
        ``remote`` is who a host of this cloud takes for its viewer.
        """
        parts = urlsplit(url)
        own = inside.own_host(parts.hostname or "") if self._inside is not None else ""
        if own:
            told = {n: v for n, v in headers if n not in HOP} | {"host": own}
            asked = HttpRequest(method, parts.path or "/", parts.query, told, body)
            asked.remote = remote
            async with asyncio.timeout(read_s):
                return await self._ask_inside(asked)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        place = (parts.scheme, parts.hostname or "", port)
        raw = _head(method, parts.path or "/", parts.query, parts.netloc, headers, body)
        wire = self._kept(place) if method in ("GET", "HEAD", "OPTIONS") else None
        if wire is not None:
            try:
                return await self._exchange(wire, place, method, raw, read_s)
            except OutboundError:
                wire.close()
        async with asyncio.timeout(connect_s):
            wire = await self._connect(place)
        try:
            return await self._exchange(wire, place, method, raw, read_s)
        except BaseException:
            wire.close()
            raise

    async def _ask_inside(self, request: HttpRequest) -> Answer:
        assert self._inside is not None
        try:
            told = await self._inside.ask(request)
        except Unavailable as e:
            raise OutboundError(str(e)) from e
        assert not isinstance(told.body, Upgrade), "no upgrade was asked for: HOP is left out"
        body, length = await inside.body_of(told.body, told.length)
        if request.method == "HEAD":  # the wire sends none; who made it is told
            aclose = getattr(body, "aclose", None)
            if aclose is not None:
                await aclose()
            body = b""
        headers = [(n.lower(), v) for n, v in told.headers if n.lower() not in HOP]
        if length >= 0 and not any(n == "content-length" for n, _ in headers):
            headers.append(("content-length", str(length)))
        chunks = _chunks(body) if isinstance(body, bytes) else body
        return Answer(told.status, headers, chunks, lambda: None)

    async def close(self) -> None:
        for wires in self._idle.values():
            for wire in wires:
                wire.close()
        self._idle.clear()

    def _kept(self, place: tuple[str, str, int]) -> Wire | None:
        wires = self._idle.get(place, [])
        while wires:
            wire = wires.pop()
            if wire.fresh(IDLE_S):
                return wire
            wire.close()
        return None

    def _keep(self, place: tuple[str, str, int], wire: Wire) -> None:
        wire.idle_since = time.monotonic()
        self._idle.setdefault(place, []).append(wire)
        self._idle.move_to_end(place)
        if sum(map(len, self._idle.values())) > IDLE_MAX:
            oldest = next(iter(self._idle))
            for each in self._idle.pop(oldest):
                each.close()

    async def _connect(self, place: tuple[str, str, int]) -> Wire:
        scheme, host, port = place
        goal = await self._resolve(host, port)
        tls = self._context() if scheme == "https" else None
        try:
            reader, writer = await asyncio.open_connection(
                goal.address, goal.port, ssl=tls, server_hostname=host if tls else None, limit=CHUNK
            )
        except (OSError, ssl.SSLError) as e:
            raise OutboundError(f"{host}:{port} cannot be reached: {e}") from e
        return Wire(reader, writer)

    async def _resolve(self, host: str, port: int) -> egress.Destination:
        try:
            return await egress.resolve(host, port, self._allowed)
        except egress.Refused as e:
            raise OutboundError(f"{e}; the setting egress_allow opens targets") from e
        except OSError as e:
            raise OutboundError(f"{host} does not resolve: {e}") from e

    def _context(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
        return self._tls

    async def _exchange(
        self, wire: Wire, place: tuple[str, str, int], method: str, raw: bytes, read_s: float
    ) -> Answer:
        parser = wire.begin()
        try:
            wire.writer.write(raw)
            async with asyncio.timeout(read_s):
                await wire.writer.drain()
                await wire.read_head()
        except (ConnectionError, httptools.HttpParserError, ssl.SSLError) as e:
            raise OutboundError(f"no HTTP answer: {e}") from e
        status = parser.get_status_code()
        if method == "HEAD" or status in (204, 304):
            wire.done = True
        body = Body(self._body(wire, place, read_s), wire)
        return Answer(status, wire.headers, body, wire.close)

    async def _body(
        self, wire: Wire, place: tuple[str, str, int], read_s: float
    ) -> AsyncGenerator[bytes, None]:
        """Chunks as they come. A connection at its answer's end is kept."""
        finished = False
        try:
            async for chunk in wire.pieces(read_s):
                yield chunk
            finished = wire.reusable
        except (ConnectionError, httptools.HttpParserError, ssl.SSLError) as e:
            raise OutboundError(f"the answer broke off: {e}") from e
        finally:
            if finished:
                self._keep(place, wire)
            else:
                wire.close()


async def _chunks(body: bytes) -> AsyncIterator[bytes]:
    if body:
        yield body


def _head(method: str, path: str, query: str, netloc: str, headers: Headers, body: bytes) -> bytes:
    names = {name for name, _ in headers}
    lines = [f"{method} {path}{'?' + query if query else ''} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"host: {netloc.rpartition('@')[2]}")
    lines += [f"{n}: {v}" for n, v in headers if n not in HOP and n != "content-length"]
    if body or method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(body)}")
    text = "\r\n".join(lines)
    if "\0" in text or text.count("\n") != len(lines) - 1:
        raise OutboundError("a header holds a line break")
    return text.encode("latin-1") + b"\r\n\r\n" + body
