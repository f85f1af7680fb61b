"""One client connection: requests in, answers out, in order (RFC 9112).

Requests of one connection run one after another, so a pipelined GET sees the PUT before it and
answers cannot overtake each other. The parser is llhttp (httptools) in its strict mode; what it
lets through and we do not want (two Hosts, both framings, odd codings) is refused here.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from pileus.errors import AwsError
from pileus.services.call import FileBody, HttpRequest, HttpResponse
from pileus.wire.body import BodyQueue
from pileus.wire.framing import NAMES, ONCE, TIMEOUT, body_length, plain_error, target
from pileus.wire.respond import BrokenBody, plain, ready, send

if TYPE_CHECKING:
    from pileus.wire.http import Server

LOG = logging.getLogger("pileus.wire")


class Inbound:
    """One request on this connection and how to answer it."""

    __slots__ = ("http10", "keep_alive", "refusal", "request", "stream", "wants_continue")

    def __init__(self, request: HttpRequest | None, keep_alive: bool, http10: bool) -> None:
        self.request = request
        self.keep_alive = keep_alive
        self.http10 = http10
        self.stream: BodyQueue | None = None
        self.wants_continue = False
        self.refusal: HttpResponse | None = None


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = server.loop
        self.transport: Any = None
        self.remote = ""
        self._limits = server.limits
        self._parser = HttpRequestParser(self)
        self._queue: deque[Inbound] = deque()
        self._current: Inbound | None = None
        self._receiving: Inbound | None = None
        self._task: asyncio.Task[None] | None = None
        self._in_message = False
        self._in_body = False
        self._packet = self._head_bytes = self._body_bytes = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._refused: tuple[int, str, str] | None = None
        self._deaf = False  # nothing more is parsed: refused, or closing
        self._eof = False
        self._holds = 0
        self._pipeline_held = False
        self._sending = False
        self._close_mark = -1.0
        self._lingering = -1.0
        self._write_paused = False
        self._write_waiter: asyncio.Future[None] | None = None
        self._write_size = 0
        self._dup: socket.socket | None = None
        self._read_mark = self._begin_mark = self._write_mark = server.now

    # --- transport ---------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        peer = transport.get_extra_info("peername")
        self.remote = peer[0] if isinstance(peer, tuple) else "127.0.0.1"
        self.transport.set_write_buffer_limits(high=self._limits.write_high_bytes)
        if not self.server.admit(self, self.remote) or self.server.stopping:
            self._deaf = True
            self.transport.write(
                b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n"
                b"content-length: 0\r\nconnection: close\r\n\r\n"
            )
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.leave(self, self.remote)
        self._deaf = True
        for inbound in (self._current, self._receiving, *self._queue):
            if inbound is not None and inbound.stream is not None:
                inbound.stream.fail(ConnectionResetError("the client went away"))
        self._queue.clear()
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_exception(ConnectionResetError("the client went away"))
        reading = self._current is not None and self._receiving is self._current
        if self._task is not None and (reading or self._sending):
            self._task.cancel()
        if self._dup is not None:
            self.loop.remove_writer(self._dup.fileno())
            self._dup.close()
            self._dup = None

    def eof_received(self) -> bool:
        """The client will send no more. Half-closed is fine: what was asked is still answered."""
        self._eof = True
        self.server.outbox.flush()  # after this the transport may close
        if self._receiving is not None and self._receiving.stream is not None:
            self._receiving.stream.fail(
                AwsError(
                    "IncompleteBody",
                    "You did not provide the number of bytes specified by the Content-Length"
                    " HTTP header",
                )
            )
            self._receiving.keep_alive = False
        elif self._in_message or self._current is None:
            return bool(self._current or self._queue)
        return self._lingering < 0

    def pause_writing(self) -> None:
        self._write_paused = True
        self._write_size = self.transport.get_write_buffer_size()
        self._write_mark = self.server.now

    def resume_writing(self) -> None:
        self._write_paused = False
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_result(None)
        if self._current is None:
            self._advance()

    def data_received(self, data: bytes) -> None:
        server = self.server
        self._read_mark = server.now
        if self._deaf:
            self._linger_on(len(data))
            return
        if not self._in_message:
            if self._current is None and not self._queue and not self._write_paused:
                request = server.whole.read(data, self.remote)
                if request is not None:
                    self._answer_whole(server, request)
                    return
            self._begin_mark = self._read_mark
            self._head_bytes = 0
        self._packet = len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade as e:
            self._after_upgrade(data[e.args[0] :])
        except HttpParserError:
            self._refuse(*(self._refused or (400, "BadRequest", "Malformed HTTP request.")))
        if self._in_message and not self._in_body:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes + 256 * 1024:
                self._refuse(431, "RequestHeaderSectionTooLarge", "Request header is too large.")
        if self._queue and self._current is None:
            self._advance()
        if len(self._queue) > self._limits.pipelined and not self._pipeline_held:
            self._pipeline_held = True
            self._hold()

    def _after_upgrade(self, rest: bytes) -> None:
        """No upgrade is offered: the request is answered as HTTP/1.1 (RFC 9110, 7.8)."""
        if self._receiving is None and rest:
            self.data_received(rest)

    # --- parser ------------------------------------------------------------------------------
    def on_message_begin(self) -> None:
        self._in_message, self._in_body = True, False
        self._url = b""
        self._headers = {}

    def on_url(self, url: bytes) -> None:
        self._url += url
        if len(self._url) > self._limits.uri_bytes:
            self._stop_parsing(414, "URITooLong", "Request URI is too long.")

    def on_header(self, name: bytes, value: bytes) -> None:
        key = NAMES.get(name)
        if key is None:
            key = name.decode("latin-1").lower()
        headers = self._headers
        if key not in headers and not self._in_body:
            headers[key] = value.decode("latin-1")
        elif not self._in_body:  # in the body it is a trailer: nothing here relies on one
            if key in ONCE:
                self._stop_parsing(400, "BadRequest", f"Repeated header {key}.")
            headers[key] += "," + value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers, limits = self._headers, self._limits
        self._in_body = True
        if len(headers) > limits.headers or (  # bytes are counted only where they may be many
            self._head_bytes + self._packet > limits.head_bytes
            and sum(map(len, headers)) + sum(map(len, headers.values())) > limits.head_bytes
        ):
            self._stop_parsing(431, "RequestHeaderSectionTooLarge", "Request header is too large.")
        http10 = self._parser.get_http_version() == "1.0"
        told = headers.get("content-length", "0")
        try:
            if "host" not in headers and not http10 and b"://" not in self._url:
                raise AwsError("BadRequest", "The Host header is missing.")
            if told.isdecimal() and len(told) < 7 and "transfer-encoding" not in headers:
                length = int(told)
            else:
                length = body_length(headers, http10, limits.body_bytes)
            path, query = ("/", "") if self._url == b"/" else target(self._url, headers)
        except AwsError as e:
            self._refused = (e.status, e.code, e.message)
            raise
        request = HttpRequest(
            self._parser.get_method().decode(), path, query, headers, remote=self.remote
        )
        inbound = Inbound(request, self._parser.should_keep_alive(), http10)
        self._receiving = inbound
        if length == 0:
            return
        inbound.wants_continue = (
            "expect" in headers and headers["expect"].lower() == "100-continue" and not http10
        )
        self._body_bytes = 0
        # A client that asks first is answered by whoever reads the body, so that a refusal comes
        # before it is sent.
        if 0 < length <= limits.buffered_bytes and not inbound.wants_continue:
            return
        inbound.stream = request.stream = BodyQueue(
            length,
            limits.stream_high_bytes,
            self._hold,
            self._release,
            (lambda: self._continue(inbound)) if inbound.wants_continue else None,
        )
        self._queue.append(inbound)

    def on_body(self, data: bytes) -> None:
        inbound = cast(Inbound, self._receiving)
        self._body_bytes += len(data)
        if inbound.stream is not None:
            if self._body_bytes > self._limits.body_bytes:
                self._stop_parsing(413, "EntityTooLarge", "Request body is too large.")
            inbound.stream.put(data)
        else:
            self._chunks.append(data)

    def on_message_complete(self) -> None:
        inbound = cast(Inbound, self._receiving)
        self._in_message = self._in_body = False
        self._receiving = None
        if inbound.stream is not None:
            inbound.stream.end()
            return
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            request = cast(HttpRequest, inbound.request)
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._queue.append(inbound)

    def _stop_parsing(self, status: int, code: str, message: str) -> None:
        self._refused = (status, code, message)
        raise ValueError(message)

    # --- order -------------------------------------------------------------------------------
    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer what came before, then this, then close."""
        if self._deaf:
            return
        self._deaf = True
        broken, self._receiving = self._receiving, None
        self._in_message = self._in_body = False
        self._chunks = []
        if broken is not None and broken.stream is not None:
            broken.keep_alive = False
            broken.stream.fail(AwsError(code, message, status))
            return
        if (self._queue and not self._queue[-1].keep_alive) or (
            not self._queue and self._current is not None and not self._current.keep_alive
        ):
            return  # bytes after the last request the client announced
        inbound = Inbound(None, False, False)
        inbound.refusal = plain_error(status, code, message)
        self._queue.append(inbound)
        if self._current is None:
            self._advance()

    def _advance(self) -> None:
        """Run waiting requests until one has to be waited for."""
        while self._queue and not self._write_paused:
            inbound = self._current = self._queue.popleft()
            if inbound.refusal is not None:
                result: HttpResponse | Awaitable[HttpResponse] = inbound.refusal
            else:
                self.server.requests += 1
                try:
                    result = self.server.handler(cast(HttpRequest, inbound.request))
                except Exception as e:
                    result = self._broken(inbound, e)
            if type(result) is HttpResponse and self._respond_at_once(inbound, result):
                continue
            if not isinstance(result, HttpResponse):
                self._task = self.loop.create_task(self._run(inbound, result))
                return
            rest = self._respond(inbound, result)
            if rest is not None:
                self._task = self.loop.create_task(self._finish_later(inbound, rest))
                return
            self._done(inbound)
        buffering = self._receiving
        if not self._queue and self._current is None and buffering and not buffering.stream:
            self._continue(buffering)
        if self._pipeline_held and not self._queue:
            self._pipeline_held = False
            self._release()

    def _answer_whole(self, server: Server, request: HttpRequest) -> None:
        """Run a request that came in one piece while nothing waited before it."""
        server.requests += 1
        try:
            result: HttpResponse | Awaitable[HttpResponse] = server.handler(request)
        except Exception as e:
            result = self._broken(Inbound(request, True, False), e)
        if type(result) is HttpResponse and result.ready and not (self._eof or server.stopping):
            raw = ready(result, server.date)
            if raw is not None:
                server.outbox.put(self.transport, raw)
                return
        self._current = inbound = Inbound(request, True, False)
        if type(result) is HttpResponse:
            if self._respond_at_once(inbound, result):
                return
            rest = self._respond(inbound, result)
            if rest is None:
                self._done(inbound)
                return
            self._task = self.loop.create_task(self._finish_later(inbound, rest))
        elif hasattr(result, "then"):  # no task is needed: it tells when it is there
            result.then(self._settled)
        else:
            self._task = self.loop.create_task(
                self._run(inbound, cast(Awaitable[HttpResponse], result))
            )

    def _respond_at_once(self, inbound: Inbound, response: HttpResponse) -> bool:
        """The short way for the commonest case; False where the case is another one."""
        body = response.body
        if (
            type(body) is not bytes
            or not inbound.keep_alive
            or inbound.stream is not None
            or inbound.http10
            or self._eof
            or self.server.stopping
            or inbound.request is None
            or inbound.request.method == "HEAD"
        ):
            return False
        try:
            raw = plain(response, body, self.server.date)
        except ValueError:
            return False  # the long way answers and logs it
        self.server.outbox.put(self.transport, raw)
        self._current = None
        return True

    def _settled(self, response: HttpResponse) -> None:
        """The answer of the request that was waited for."""
        inbound = self._current
        if inbound is None or self.transport.is_closing():
            return  # the client left
        if self._respond_at_once(inbound, response):
            self._begin_mark = self._read_mark = self.server.now
        else:
            rest = self._respond(inbound, response)
            assert rest is None, "an answer made of one entry has its bytes"
            self._done(inbound)
        if self._queue or self._receiving is not None or self._pipeline_held:
            self._advance()

    async def _run(self, inbound: Inbound, result: Awaitable[HttpResponse]) -> None:
        try:
            response = await result
        except Exception as e:
            response = self._broken(inbound, e)
        if self.transport.is_closing():
            await _discard(response)
            return
        self._task = None
        if self._respond_at_once(inbound, response):
            self._begin_mark = self._read_mark = self.server.now
            self._advance()
            return
        rest = self._respond(inbound, response)
        if rest is not None:
            self._task = asyncio.current_task()
            await self._finish_later(inbound, rest)
            return
        self._done(inbound)
        self._advance()

    async def _finish_later(self, inbound: Inbound, rest: Any) -> None:
        self._sending = True
        try:
            await rest
        except (BrokenBody, ConnectionError):
            self.transport.abort()
            return
        finally:
            self._sending = False
        self._task = None
        self._done(inbound)
        self._advance()

    def _broken(self, inbound: Inbound, error: Exception) -> HttpResponse:
        """The answer where the handler had none: a client's error in its words, else a 500."""
        if isinstance(error, AwsError):
            return plain_error(error.status, error.code, error.message)
        if isinstance(error, ConnectionError):  # the client left: nobody reads this
            return plain_error(400, "IncompleteBody", "The connection was closed.")
        request = inbound.request
        LOG.exception("handler failed: %s %s", request and request.method, request and request.path)
        return plain_error(500, "InternalError", "We encountered an internal error.")

    def _respond(self, inbound: Inbound, response: HttpResponse) -> Any:
        """Hand the answer to the transport; a coroutine when there is more to wait for."""
        if self.server.outbox.waiting:
            self.server.outbox.flush()
        if self.server.stopping or (inbound.stream is not None and not inbound.stream.complete):
            inbound.keep_alive = False
        method = inbound.request.method if inbound.request is not None else "GET"
        try:
            rest, close = send(
                self,
                response,
                self.server.date,
                method,
                inbound.http10,
                not inbound.keep_alive,
            )
        except (ValueError, BrokenBody, OSError):
            LOG.exception("an answer could not be sent")
            inbound.keep_alive = False
            self.transport.write(
                b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n"
                b"connection: close\r\n\r\n"
            )
            return None
        inbound.keep_alive = not close
        return rest

    def _done(self, inbound: Inbound) -> None:
        """The answer is with the transport: go on, or close."""
        self._current = None
        self._begin_mark = self._read_mark = self.server.now
        if inbound.stream is not None:
            inbound.stream.abandon()
        if inbound.keep_alive and not (self._eof and not self._queue):
            return
        self._queue.clear()
        unread = self._deaf or (inbound.stream is not None and not inbound.stream.complete)
        self._deaf = True
        if unread and not self._eof and self.transport.can_write_eof():
            # Closing with bytes unread resets the connection and may take the answer with it.
            self.server.outbox.flush()
            self._lingering = self.server.now
            self._body_bytes = 0
            self.transport.write_eof()
            if self._pipeline_held:
                self._pipeline_held = False
                self._release()
        else:
            self._close()

    def _close(self) -> None:
        self.server.outbox.flush()
        self._close_mark = self.server.now
        self.transport.close()

    def _continue(self, inbound: Inbound) -> None:
        if inbound.wants_continue and not self.transport.is_closing():
            inbound.wants_continue = False
            self.server.outbox.flush()
            self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    # --- flow --------------------------------------------------------------------------------
    def _linger_on(self, size: int) -> None:
        self._body_bytes += size
        if self._lingering >= 0 and self._body_bytes > self._limits.linger_bytes:
            self.abort()

    def _hold(self) -> None:
        self._holds += 1
        if self._holds == 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def _release(self) -> None:
        self._holds -= 1
        if self._holds == 0 and not self.transport.is_closing():
            self._read_mark = self.server.now
            self.transport.resume_reading()

    async def drain(self) -> None:
        """Wait until the client has taken enough of what was written."""
        if self.transport.is_closing():
            raise ConnectionResetError("the client went away")
        if self._write_paused:
            self._write_waiter = self.loop.create_future()
            await self._write_waiter

    def progress(self) -> None:
        self._write_mark = self.server.now

    def writable_socket(self) -> socket.socket | None:
        """A duplicate of the connection's socket to write to directly, when nothing is queued
        before it (uvloop owns the original descriptor)."""
        if self.transport.get_write_buffer_size():
            return None
        if self._dup is None:
            known = self.transport.get_extra_info("socket")
            if known is None:
                return None
            self._dup = socket.socket(fileno=os.dup(known.fileno()))
            self._dup.setblocking(False)
        self._write_mark = self.server.now
        return self._dup

    # --- time --------------------------------------------------------------------------------
    def check(self, now: float) -> None:
        """Apply the time limits; called by the server's sweep."""
        limits = self._limits
        if self._close_mark >= 0:
            if now - self._close_mark > limits.write_stall_s:
                self.transport.abort()
        elif self._lingering >= 0:
            if now - self._lingering > limits.linger_s:
                self.abort()
        elif self._write_paused or (self._sending and self._dup is not None):
            size = self.transport.get_write_buffer_size()
            if size != self._write_size:
                self._write_size, self._write_mark = size, now
            elif now - self._write_mark > limits.write_stall_s:
                self.abort()
        elif self._deaf or self._holds:
            return
        elif self._in_message and not self._in_body:
            if now - self._begin_mark > limits.head_s:
                self._refuse(408, "RequestTimeout", TIMEOUT.message)
        elif self._in_body:
            self._check_body(now)
        elif self._current is None and now - self._read_mark > limits.keep_alive_s:
            self._close()

    def _check_body(self, now: float) -> None:
        limits = self._limits
        idle, took = now - self._read_mark, now - self._begin_mark
        slow = took > limits.body_idle_s and self._body_bytes < took * limits.body_rate_bytes_s
        if idle > limits.body_idle_s or (slow and idle > 1):
            self._refuse(TIMEOUT.status, TIMEOUT.code, TIMEOUT.message)

    def stop(self) -> None:
        """Close when idle; else after the answer in flight."""
        if self._current is None and not self._queue and not self._in_message:
            self._close()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()


async def _discard(response: HttpResponse) -> None:
    """The client left before its answer: release what the answer holds."""
    if isinstance(response.body, FileBody):
        os.close(response.body.fd)
    elif not isinstance(response.body, bytes):
        aclose = getattr(response.body, "aclose", None)
        if aclose is not None:
            await aclose()
