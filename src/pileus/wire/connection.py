"""One client connection: requests in, answers out, one after another (RFC 9112).

So a pipelined GET sees the PUT before it. How bytes become requests is the reader's part.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, cast

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse, Upgrade
from pileus.wire.framing import BUSY, CONTINUE, INCOMPLETE, POSTS, UNSENT, broken, refused
from pileus.wire.inlet import Inlet, upgrade
from pileus.wire.known_heads import END
from pileus.wire.reader import Inbound, Reader
from pileus.wire.respond import BrokenBody, discard, plain, ready, send, size_of

if TYPE_CHECKING:
    from pileus.wire.http import Server
    from pileus.wire.swift import Answer

LOG = logging.getLogger("pileus.wire")


class Connection(asyncio.Protocol):
    def __init__(self, server: Server) -> None:
        self.server = server
        self.loop = server.loop
        self.transport: Any = None
        self.remote = ""
        self._limits = server.limits
        self._queue: deque[Inbound] = deque()
        self._reader = Reader(server.limits, self._queue.append, self)
        self._current: Inbound | None = None
        self._task: asyncio.Task[None] | None = None
        self.swifts: dict[int, tuple[Answer, ...]] = {}  # by the length of the head
        self.swift_from = 0  # the least of these lengths
        self.arrived = self.wrote = 0  # pieces in, writes answered: see handing_over
        self._deaf = False  # nothing more is parsed: refused, or closing
        self._holds = 0
        self._eof = self._pipeline_held = self._sending = self._write_paused = False
        self._close_mark = self._lingering = -1.0
        self._write_waiter: asyncio.Future[None] | None = None
        self._write_size = 0
        self._dup: socket.socket | None = None
        self._inlet: Inlet | None = None  # after an upgrade: who reads what arrives
        self._read_mark = self._begin_mark = self._write_mark = server.now

    # --- transport ---------------------------------------------------------------------------
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport
        remote = self.server.remote(transport)
        self.remote = self._reader.remote = remote or ""
        self.transport.set_write_buffer_limits(high=self._limits.write_high_bytes)
        if not remote or not self.server.admit(self, remote):
            self._deaf = True
            self.transport.write(BUSY)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self.server.leave(self, self.remote)
        self._deaf = True
        for inbound in (self._current, self._reader.receiving, *self._queue):
            if inbound is not None and inbound.stream is not None:
                inbound.stream.fail(ConnectionResetError("the client went away"))
        self._queue.clear()
        if self._write_waiter is not None and not self._write_waiter.done():
            self._write_waiter.set_exception(ConnectionResetError("the client went away"))
        reading = self._current is not None and self._reader.receiving is self._current
        if self._task is not None and (reading or self._sending):
            self._task.cancel()
        if self._dup is not None:
            self.loop.remove_writer(self._dup.fileno())
            self._dup.close()
            self._dup = None
        self._reader.close()

    def eof_received(self) -> bool:
        """The client will send no more. Half-closed is fine: what was asked is still answered."""
        self._eof = True
        if self._inlet is not None:
            self._inlet.end()
        self.server.outbox.flush()  # after this the transport may close
        open_still = self.server.tls is None  # TLS is never half-closed
        if self._reader.receiving is not None and self._reader.receiving.stream is not None:
            self._reader.receiving.stream.fail(INCOMPLETE)
            self._reader.receiving.keep_alive = False
        elif self._reader.in_message or self._current is None:
            return bool(self._current or self._queue) and open_still
        return self._lingering < 0 and open_still

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
        server.bytes_in += len(data)
        self.arrived += 1
        if self._reader.in_message and not (data := self._reader.whole(data)):
            return
        if (
            self.swifts  # a connection of a client that repeats itself, with nothing before this
            and self._current is None
            and not (self._deaf or self._eof or self._write_paused or self._reader.in_message)
            and not server.stopping
        ):
            for swift in self.swifts.get(data.find(END, self.swift_from), ()):
                if swift(self, data):
                    return
        if self._deaf:
            self._unheard(data)
            return
        if not self._reader.in_message:
            if self._current is None and not self._queue and not self._write_paused:
                if (data[1:2] != POSTS or data[-4:] == END) and server.answered(data, self):
                    return
                begun = perf_counter_ns()
                request = server.read(data, self.remote)
                if request is not None:
                    request.begun_ns = begun
                    self._answer_whole(server, request)
                    if type(request.head) is tuple and server.learn is not None:
                        server.learn(self, data, request)
                    return
            self._begin_mark = self._read_mark
        refusal = self._reader.feed(data)
        if refusal is not None:
            self._refuse(*refusal)
        if self._queue and self._current is None:
            self._advance()
        if len(self._queue) > self._limits.pipelined and not self._pipeline_held:
            self._pipeline_held = True
            self.hold()

    # --- order -------------------------------------------------------------------------------
    def _refuse(self, status: int, code: str, message: str) -> None:
        """Answer what came before, then this, then close."""
        if self._deaf:
            return
        self._deaf = True
        partial = self._reader.give_up()
        if partial is not None and partial.stream is not None:
            partial.keep_alive = False
            partial.stream.fail(AwsError(code, message, status))
            return
        if (self._queue and not self._queue[-1].keep_alive) or (
            not self._queue and self._current is not None and not self._current.keep_alive
        ):
            return  # bytes after the last request the client announced
        inbound = Inbound(None, False, False)
        inbound.refusal = refused(partial.request if partial else None, status, code, message)
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
                request = cast(HttpRequest, inbound.request)
                request.begun_ns = perf_counter_ns()
                try:
                    result = self.server.handler(request)
                except Exception as e:
                    result = broken(inbound.request, e)
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
        buffering = self._reader.receiving
        if not self._queue and self._current is None and buffering and not buffering.stream:
            self.proceed(buffering)
        if self._pipeline_held and not self._queue:
            self._pipeline_held = False
            self.release()

    def _answer_whole(self, server: Server, request: HttpRequest) -> None:
        """Run a request that came in one piece while nothing waited before it."""
        server.requests += 1
        try:
            result: Any = server.handler(request)
        except Exception as e:
            result = broken(request, e)
        if type(result) is HttpResponse and result.ready and self._sent(request, result):
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
            self._task = self.loop.create_task(self._run(inbound, result))

    def _sent(self, request: HttpRequest, response: HttpResponse) -> bool:
        """The shortest way, of answers whose head is written: True when it was taken."""
        server = self.server
        raw = ready(response, server.date)
        if raw is None or self._eof or server.stopping:
            return False
        server.count(request.meter, 200, len(raw), request.begun_ns)
        server.outbox.put(self.transport, raw)
        return True

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
        request = inbound.request
        self.server.count(request.meter, response.status, len(raw), request.begun_ns)
        self.server.outbox.put(self.transport, raw)
        self._current = None
        return True

    def _settled(self, response: HttpResponse) -> None:
        """The answer of the request that was waited for."""
        inbound = self._current
        if inbound is None or self.transport.is_closing():
            return  # the client left
        if response.ready and self._sent(cast(HttpRequest, inbound.request), response):
            self._current = None
        elif not self._respond_at_once(inbound, response):
            rest = self._respond(inbound, response)
            assert rest is None, "an answer made of one entry has its bytes"
            self._done(inbound)
        self._begin_mark = self._read_mark = self.server.now
        if self._queue or self._reader.receiving is not None or self._pipeline_held:
            self._advance()

    async def _run(self, inbound: Inbound, result: Awaitable[HttpResponse]) -> None:
        try:
            response = await result
        except Exception as e:
            response = broken(inbound.request, e)
        if self.transport.is_closing():
            await discard(response)
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

    def _respond(self, inbound: Inbound, response: HttpResponse) -> Any:
        """Hand the answer to the transport; a coroutine when there is more to wait for."""
        if self.server.outbox.waiting:
            self.server.outbox.flush()
        if self.server.stopping or (inbound.stream is not None and not inbound.stream.complete):
            inbound.keep_alive = False
        if isinstance(response.body, Upgrade):
            return upgrade(self, inbound, response, response.body)
        method = inbound.request.method if inbound.request is not None else "GET"
        try:
            told = self.server.date, method, inbound.http10, not inbound.keep_alive
            rest, close = send(self, response, *told)
        except (ValueError, BrokenBody, OSError):
            LOG.exception("an answer could not be sent")
            inbound.keep_alive = False
            self.transport.write(UNSENT)
            return None
        inbound.keep_alive = not close
        if inbound.request is not None:
            size, begun = size_of(response), inbound.request.begun_ns
            self.server.count(inbound.request.meter, response.status, size, begun)
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
            self._reader.body_bytes = 0
            self.transport.write_eof()
            if self._pipeline_held:
                self._pipeline_held = False
                self.release()
        else:
            self._close()

    def _close(self) -> None:
        self.server.outbox.flush()
        self._close_mark = self.server.now
        self.transport.close()

    def proceed(self, inbound: Inbound) -> None:
        if inbound.wants_continue and not self.transport.is_closing():
            inbound.wants_continue = False
            self.server.outbox.flush()
            self.transport.write(CONTINUE)

    # --- flow --------------------------------------------------------------------------------
    def _unheard(self, data: bytes) -> None:
        """Bytes that are no request: of an upgraded connection, or too late."""
        if self._inlet is not None:
            self._inlet.feed(data)
            return
        self._reader.body_bytes += len(data)
        if self._lingering >= 0 and self._reader.body_bytes > self._limits.linger_bytes:
            self.abort()

    def hold(self) -> None:
        self._holds += 1
        if self._holds == 1 and not self.transport.is_closing():
            self.transport.pause_reading()

    def release(self) -> None:
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
        """A duplicate of the socket (uvloop owns it) where nothing is queued nor encrypted."""
        if self.transport.get_write_buffer_size() or self.server.tls is not None:
            return None
        if self._dup is None:
            known = self.transport.get_extra_info("socket")
            if known is None:
                return None
            self._dup = socket.socket(fileno=os.dup(known.fileno()))
            self._dup.setblocking(False)
        self._write_mark = self.server.now
        return self._dup

    def stop(self) -> None:
        """Close when idle; else after the answer in flight."""
        if self._current is None and not self._queue and not self._reader.in_message:
            self._close()

    def abort(self) -> None:
        if self._task is not None:
            self._task.cancel()
        self.transport.abort()
