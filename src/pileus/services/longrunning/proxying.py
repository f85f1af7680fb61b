"""One HTTP request handed to a healthy copy, and its answer handed back, both as they stream.

Idempotent requests whose body is at hand are sent to another copy when one dies before its answer
began (RFC 9110, 9.2.2); others only when nothing of them was sent.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator

import httptools

from pileus.errors import Unavailable
from pileus.services.call import Headers, HttpRequest, HttpResponse
from pileus.services.http_wire import Wire
from pileus.services.longrunning import tunnel
from pileus.services.longrunning.view import Target, View
from pileus.services.outbound import HOP

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
WAIT_S = 5.0  # for a healthy copy
READ_S = 120.0  # for the head of an answer, and between its pieces
ATTEMPTS = 5
WHOLE_BYTES_MAX = 256 * 1024  # short answers are read whole, so that they can be asked for again
PATH_PREFIX = "/_service/"
HOP_HEADER = "x-pileus-hop"  # another node asks: only this node's copies
DROPPED = (
    HOP | {HOP_HEADER} | {"host", "content-length", "expect", "x-forwarded-for", "x-forwarded-host"}
)

log = logging.getLogger(__name__)


class Broken(Exception):
    """The copy went away. ``sent``: it may have seen the request."""

    def __init__(self, reason: str, sent: bool) -> None:
        super().__init__(reason)
        self.sent = sent


class Proxying:
    """Sends requests to the copies of a service."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def serve(self, name: str, request: HttpRequest, path: str, prefix: str) -> HttpResponse:
        """The answer of the service ``name`` to ``request`` at ``path`` (raw); ``prefix``: what was
        taken off its path."""
        head = request_head(request, path, prefix)
        onward = request_head(request, f"{PATH_PREFIX}{name}{path}", prefix, hop=True)
        if head is None or onward is None:
            return plain(400, "a header holds a line break")
        here_only = HOP_HEADER in request.headers
        deadline = asyncio.get_running_loop().time() + WAIT_S
        again = request.stream is None and request.method in IDEMPOTENT
        tried: set[str] = set()
        for _ in range(ATTEMPTS):
            found = await self._view.wait(name, deadline, here_only)
            if not found:
                break
            target = next((t for t in found if t.id not in tried), found[0])
            tried.add(target.id)
            try:
                sent = onward if target.elsewhere else head
                return await self._ask(target, request, sent, again)
            except TimeoutError:
                return plain(504, f"the service {name} did not answer within {READ_S:g} s")
            except Broken as e:
                log.info("service %s, copy %s: %s", name, target.id, e)
                if e.sent and not again:
                    return plain(502, f"the service {name} broke off: {e}")
                if len(tried) >= len(found):
                    await asyncio.sleep(0.02)  # the runtime is about to tell of its end
        return plain(503, f"no copy of the service {name} is healthy", retry=True)

    async def _ask(
        self, target: Target, request: HttpRequest, head: bytes, again: bool
    ) -> HttpResponse:
        target.active += 1
        exchange = Exchange(target)
        try:
            answer = await exchange.run(request, head)
            length = answer.length
            if again and 0 <= length <= WHOLE_BYTES_MAX and isinstance(answer.body, Body):
                answer.body = b"".join([chunk async for chunk in answer.body])
            return answer
        except BaseException:
            await exchange.end(reusable=False)
            raise


class Exchange:
    """One request and its answer on one connection to a copy."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._wire: Wire | None = None
        self._sender: asyncio.Task[None] | None = None
        self._over = False
        self._headed = False  # the answer's head is there

    async def run(self, request: HttpRequest, head: bytes) -> HttpResponse:
        """Send, and wait for the head of the answer. Raises ``Broken`` or ``TimeoutError``."""
        try:
            wire = self._wire = await self._target.connect()
        except (OSError, Unavailable) as e:
            raise Broken(f"cannot be reached: {e}", sent=False) from e
        wire.begin()
        try:
            async with asyncio.timeout(READ_S) as limit:
                wire.writer.write(head + request.body)
                if request.stream is None:
                    await wire.writer.drain()
                else:  # however long the body takes, the answer has its time after it
                    limit.reschedule(None)
                    self._sender = asyncio.create_task(self._send(request))
                    self._sender.add_done_callback(lambda _: self._body_sent(limit))
                if tunnel.asked(request):
                    granted = await self._read_upgrade(wire)
                    if granted is not None:
                        return HttpResponse(101, granted, tunnel.Tunnel(wire, self))
                await wire.read_head()
                self._headed = True
        except TimeoutError:  # an OSError, too
            raise
        except (OSError, EOFError, asyncio.LimitOverrunError, httptools.HttpParserError) as e:
            raise Broken(str(e) or type(e).__name__, sent=True) from e
        return await self._answer(request, wire)

    def _body_sent(self, limit: asyncio.Timeout) -> None:
        if not (self._headed or self._over):
            limit.reschedule(asyncio.get_running_loop().time() + READ_S)

    async def _read_upgrade(self, wire: Wire) -> Headers | None:
        """The headers of a 101, if that is the answer; else its head goes to the parser."""
        assert wire.parser is not None
        head = await wire.reader.readuntil(b"\r\n\r\n")
        granted = tunnel.granted(head)
        if granted is None:
            wire.parser.feed_data(head)
        return granted

    async def _send(self, request: HttpRequest) -> None:
        """The body, while the answer may begin already."""
        assert request.stream is not None and self._wire is not None
        writer, counted = self._wire.writer, request.stream.length >= 0
        try:
            async for chunk in request.stream:
                if chunk:
                    writer.write(chunk if counted else b"%x\r\n%b\r\n" % (len(chunk), chunk))
                    await writer.drain()
        except Exception:
            writer.close()  # the copy must not take half a body for the whole
            raise
        if not counted:
            writer.write(b"0\r\n\r\n")
            await writer.drain()

    async def _answer(self, request: HttpRequest, wire: Wire) -> HttpResponse:
        assert wire.parser is not None
        status = wire.parser.get_status_code()
        headers: Headers = [h for h in wire.headers if h[0] not in HOP]
        told = [v for n, v in headers if n == "content-length"]
        length = int(told[0]) if told and told[0].isdigit() else -1
        if request.method == "HEAD" or status in (204, 304) or status < 200:
            await self.end(reusable=wire.keep_alive)
            return HttpResponse(status, headers, b"", length)
        body = self._body(wire)
        return HttpResponse(status, headers, Body(body, self), length)

    async def _body(self, wire: Wire) -> AsyncGenerator[bytes, None]:
        reusable = False
        try:
            async for chunk in wire.pieces(READ_S):
                yield chunk
            reusable = wire.reusable
        except (OSError, httptools.HttpParserError) as e:
            raise Broken(f"its answer broke off: {e}", sent=True) from e
        finally:
            await self.end(reusable)

    async def end(self, reusable: bool) -> None:
        """The connection goes back to its copy, or is closed. Only the first call counts."""
        if self._over:
            return
        self._over = True
        self._target.active -= 1
        sending = self._sender is not None and not self._sender.done()
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait({self._sender})
            failed = None if self._sender.cancelled() else self._sender.exception()
            if failed is not None:  # the copy had answered before it read all of the body
                log.info("the rest of a request's body did not reach its copy: %r", failed)
        if self._wire is not None:
            if reusable and not sending:
                self._target.keep(self._wire)
            else:
                self._wire.close()

    def forget(self) -> None:
        """As ``end``, where nobody can wait for it."""
        if not self._over:
            self._over = True
            self._target.active -= 1
            if self._wire is not None:
                self._wire.close()


class Body(AsyncIterator[bytes]):
    """An answer's chunks; ends the exchange even when nobody asked for the first one."""

    def __init__(self, chunks: AsyncGenerator[bytes, None], exchange: Exchange) -> None:
        self._chunks = chunks
        self._exchange = exchange

    async def __anext__(self) -> bytes:
        return await anext(self._chunks)

    async def aclose(self) -> None:
        await self._chunks.aclose()
        await self._exchange.end(reusable=False)


def request_head(request: HttpRequest, path: str, prefix: str, hop: bool = False) -> bytes | None:
    """The head a copy gets (``hop``: another node's front); None where a header would break it."""
    target = f"{path or '/'}{'?' + request.query if request.query else ''}"
    lines = [f"{request.method} {target} HTTP/1.1"]
    host = request.headers.get("host", "localhost")
    chain = request.headers.get("x-forwarded-for")
    lines.append(f"host: {host}")
    lines += [f"{n}: {v}" for n, v in request.headers.items() if n not in DROPPED]
    lines.append(f"x-forwarded-for: {chain + ', ' if chain else ''}{request.remote}")
    lines.append(f"x-forwarded-host: {host}")
    if "x-forwarded-proto" not in request.headers:
        lines.append(f"x-forwarded-proto: {request.scheme}")
    if prefix and "x-forwarded-prefix" not in request.headers:
        lines.append(f"x-forwarded-prefix: {prefix}")
    if hop:
        lines.append(f"{HOP_HEADER}: 1")
    if request.stream is not None and request.stream.length < 0:
        lines.append("transfer-encoding: chunked")
    elif request.stream is not None:
        lines.append(f"content-length: {request.stream.length}")
    elif request.body or request.method in ("POST", "PUT", "PATCH"):
        lines.append(f"content-length: {len(request.body)}")
    if tunnel.asked(request):
        lines += ["connection: upgrade", f"upgrade: {request.headers['upgrade']}"]
    text = "\r\n".join(lines)
    if "\0" in text or text.count("\n") != len(lines) - 1 or text.count("\r") != len(lines) - 1:
        return None
    return text.encode("utf-8", "surrogateescape") + b"\r\n\r\n"


def plain(status: int, text: str, retry: bool = False) -> HttpResponse:
    """An answer of ours, not the service's."""
    headers = [("content-type", "text/plain; charset=utf-8"), ("x-pileus-error", "service")]
    if retry:
        headers.append(("retry-after", "1"))
    return HttpResponse(status, headers, f"{text}\n".encode())
