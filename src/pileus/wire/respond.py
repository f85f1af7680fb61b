"""An answer becomes bytes: the head, and the three kinds of body (bytes, file, iterator)."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator, Coroutine
from http import HTTPStatus
from typing import Any, Protocol

from pileus.services.call import FileBody, HttpResponse, Upgrade

LOG = logging.getLogger("pileus.wire")
SENDFILE_MIN = 64 * 1024
SENDFILE_STEP = 1024 * 1024
_REASONS = {status.value: status.phrase for status in HTTPStatus}
_STATUS_LINES = {code: f"HTTP/1.1 {code} {phrase}\r\n" for code, phrase in _REASONS.items()}
_BODYLESS = frozenset({204, 304})


class Outlet(Protocol):
    """What sending needs of a connection."""

    transport: Any
    loop: asyncio.AbstractEventLoop

    async def drain(self) -> None: ...
    def progress(self) -> None: ...
    def writable_socket(self) -> socket.socket | None: ...


class BrokenBody(Exception):
    """The body ended early or failed after the head was sent: the connection must be cut."""


def size_of(response: HttpResponse) -> int:
    """The bytes of an answer's body as far as they are known before it is sent."""
    body = response.body
    if type(body) is bytes:
        return len(body)
    return body.length if isinstance(body, FileBody) else max(response.length, 0)


def head(response: HttpResponse, date: bytes, extra: str) -> bytes:
    """Status line and headers. A line break in a header value is refused with ``ValueError``:
    a service must not let its caller write headers."""
    if response.ready:
        extra = response.ready.decode("latin-1") + extra
    line = _STATUS_LINES.get(response.status) or f"HTTP/1.1 {response.status} Status\r\n"
    headers = response.headers
    text = "".join([line, *[f"{name}: {value}\r\n" for name, value in headers]])
    expected = len(headers) + 1
    if text.count("\n") != expected or text.count("\r") != expected:
        raise ValueError("line break in a response header")
    try:
        raw = (text + extra).encode("latin-1")
    except UnicodeEncodeError:
        raw = (text + extra).encode()
    return b"%b%b\r\n" % (raw, date)


def ready(response: HttpResponse, date: bytes) -> bytes | None:
    """An answer whose header lines are all written, to a request that was no HEAD; else None."""
    body = response.body
    if response.status != 200 or response.headers or type(body) is not bytes:
        return None
    return b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n%b\r\n%b" % (
        response.ready,
        len(body),
        date,
        body,
    )


def plain(response: HttpResponse, body: bytes, date: bytes) -> bytes:
    """The commonest answer in one piece: 2xx or an error with its bytes, on a connection that
    stays open."""
    raw = ready(response, date) if response.ready else None
    if raw is not None:
        return raw
    status = response.status
    if status < 200 or status in _BODYLESS:
        return head(response, date, "")
    told = [name for name, _ in response.headers if len(name) == 14]
    for name in told:
        if name.lower() == "content-length":
            return head(response, date, "") + body
    return head(response, date, f"content-length: {len(body)}\r\n") + body


def send(
    out: Outlet, response: HttpResponse, date: bytes, method: str, http10: bool, close: bool
) -> tuple[Coroutine[Any, Any, None] | None, bool]:
    """Start sending. Answers (what is left to await, or None when all is handed to the transport;
    whether the connection must close after)."""
    body = response.body
    if type(body) is bytes:
        bodyless = method == "HEAD" or response.status in _BODYLESS or response.status < 200
        raw = head(response, date, _framing(response, len(body), http10, close))
        out.transport.write(raw if bodyless or not body else raw + body)
        return None, close
    if isinstance(body, FileBody):
        return _send_file(out, response, body, date, method, http10, close), close
    return _send_iterator(out, response, body, date, method, http10, close)  # type: ignore[arg-type]


def _framing(response: HttpResponse, length: int, http10: bool, close: bool) -> str:
    """The framing headers of a body of ``length`` bytes, where the service did not say itself."""
    told = response.status in _BODYLESS
    for name, _ in response.headers:
        if len(name) == 14 and name.lower() == "content-length":
            told = True
    extra = "" if told else f"content-length: {length}\r\n"
    if close:
        return extra + "connection: close\r\n"
    return extra + "connection: keep-alive\r\n" if http10 else extra


def _send_file(
    out: Outlet,
    response: HttpResponse,
    body: FileBody,
    date: bytes,
    method: str,
    http10: bool,
    close: bool,
) -> Coroutine[Any, Any, None] | None:
    """A slice of a file: small ones through the transport, large ones by sendfile(2)."""
    try:
        raw = head(response, date, _framing(response, body.length, http10, close))
        if method == "HEAD" or response.status in _BODYLESS or body.length == 0:
            out.transport.write(raw)
        elif body.length <= SENDFILE_MIN:
            data = os.pread(body.fd, body.length, body.offset)
            if len(data) != body.length:
                raise BrokenBody("file is shorter than announced")
            out.transport.write(raw + data)
        else:
            return file_slow(out, body, raw)
    except BaseException:
        os.close(body.fd)
        raise
    os.close(body.fd)
    return None


def file_at_once(out: Outlet, body: FileBody, raw: bytes) -> bytes | None:
    """Send as much as the socket takes; None when that is all, else what is left of the head
    (``body`` is then what is left of it). ``BrokenBody`` where the client left."""
    sock = out.writable_socket()
    if sock is None:
        return raw
    try:
        raw = raw[sock.send(raw, socket.MSG_MORE) :]
        if raw:
            return raw
        sent = os.sendfile(sock.fileno(), body.fd, body.offset, body.length)
    except BlockingIOError:
        return raw
    except (ConnectionError, TimeoutError) as e:
        os.close(body.fd)
        raise BrokenBody(str(e)) from e
    body.offset, body.length = body.offset + sent, body.length - sent
    if body.length:
        return raw
    os.close(body.fd)
    return None


async def file_slow(out: Outlet, body: FileBody, raw: bytes) -> None:
    """Head, then the slice, waiting whenever the socket is full."""
    try:
        sock = out.writable_socket()
        if sock is None:
            await _file_by_chunks(out, body, raw)
            return
        view = memoryview(raw)
        while view:
            try:
                view = view[sock.send(view, socket.MSG_MORE) :]
            except BlockingIOError:
                await _until_writable(out, sock)
        offset, left = body.offset, body.length
        while left:
            try:
                sent = os.sendfile(sock.fileno(), body.fd, offset, min(left, SENDFILE_STEP))
            except BlockingIOError:
                await _until_writable(out, sock)
                continue
            if sent == 0:
                raise BrokenBody("file is shorter than announced")
            offset, left = offset + sent, left - sent
            out.progress()
            if left:
                await asyncio.sleep(0)  # one step a turn: others get the loop between
    except (ConnectionError, TimeoutError) as e:
        raise BrokenBody(str(e)) from e
    finally:
        os.close(body.fd)


def _settle(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


async def _until_writable(out: Outlet, sock: socket.socket) -> None:
    ready: asyncio.Future[None] = out.loop.create_future()
    out.loop.add_writer(sock.fileno(), _settle, ready)
    try:
        await ready
    finally:
        out.loop.remove_writer(sock.fileno())


async def _file_by_chunks(out: Outlet, body: FileBody, raw: bytes) -> None:
    """Where the transport still holds bytes or has no socket of its own to write to."""
    out.transport.write(raw)
    offset, left = body.offset, body.length
    while left:
        data = os.pread(body.fd, min(left, 256 * 1024), offset)
        if not data:
            raise BrokenBody("file is shorter than announced")
        out.transport.write(data)
        offset, left = offset + len(data), left - len(data)
        await out.drain()


def _send_iterator(
    out: Outlet,
    response: HttpResponse,
    body: AsyncIterator[bytes],
    date: bytes,
    method: str,
    http10: bool,
    close: bool,
) -> tuple[Coroutine[Any, Any, None], bool]:
    """Chunks as they come: with Content-Length where known, else chunked, else until close."""
    length = response.length
    if length < 0:
        told = [v for n, v in response.headers if n.lower() == "content-length"]
        length = int(told[0]) if told else -1
    bodyless = method == "HEAD" or response.status in _BODYLESS
    chunked = False
    if length >= 0 or bodyless:
        extra = _framing(response, length, http10, close) if length >= 0 else ""
        if length < 0 and close:
            extra = "connection: close\r\n"
    elif http10:
        close, extra = True, "connection: close\r\n"
    else:
        chunked = True
        extra = "transfer-encoding: chunked\r\n" + ("connection: close\r\n" if close else "")
    raw = head(response, date, extra)
    return _iterate(out, body, raw, -1 if chunked else length, chunked, bodyless), close


async def _iterate(
    out: Outlet, body: AsyncIterator[bytes], raw: bytes, left: int, chunked: bool, bodyless: bool
) -> None:
    counted = left >= 0
    try:
        out.transport.write(raw)
        if bodyless:
            return
        async for chunk in body:
            if not chunk:
                continue
            if counted and len(chunk) > left:
                raise BrokenBody("body is longer than announced")
            left -= len(chunk)
            if chunked:
                out.transport.writelines((b"%x\r\n" % len(chunk), chunk, b"\r\n"))
            else:
                out.transport.write(chunk)
            await out.drain()
        if counted and left:
            raise BrokenBody("body is shorter than announced")
        if chunked:
            out.transport.write(b"0\r\n\r\n")
    except (asyncio.CancelledError, BrokenBody, ConnectionError):
        raise  # the body's own maker gave it up, or the client left
    except Exception as e:
        LOG.exception("a response body failed after its head was sent")
        raise BrokenBody(str(e)) from e
    finally:
        aclose = getattr(body, "aclose", None)
        if aclose is not None:
            await aclose()


async def discard(response: HttpResponse) -> None:
    """The client left before its answer: release what the answer holds."""
    if isinstance(response.body, FileBody):
        os.close(response.body.fd)
    elif isinstance(response.body, Upgrade):
        response.body.drop()
    elif not isinstance(response.body, bytes):
        aclose = getattr(response.body, "aclose", None)
        if aclose is not None:
            await aclose()
