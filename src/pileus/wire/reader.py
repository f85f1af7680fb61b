"""Bytes of a connection in, requests out (RFC 9112, 9110).

The parser is llhttp (httptools) in its strict mode; what it lets through and we do not want (two
Hosts, both framings, odd codings, too much of anything) is refused here. A small body is handed
on whole with its request; for a large one, or one the client asks about first, the request goes
ahead and the body follows as a stream.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from pileus.errors import AwsError
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.body import BodyQueue
from pileus.wire.framing import NAMES, ONCE, body_length, target
from pileus.wire.limits import Limits

Refusal = tuple[int, str, str]  # status, code, message
HEAD_TOO_LARGE = (431, "RequestHeaderSectionTooLarge", "Request header is too large.")
MALFORMED = (400, "BadRequest", "Malformed HTTP request.")


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


class Sender(Protocol):
    """The client's side of the connection: slowed down, let go on, told to send its body."""

    def hold(self) -> None: ...
    def release(self) -> None: ...
    def proceed(self, inbound: Inbound) -> None: ...


class Reader:
    """``feed`` it what arrives; it calls ``deliver`` with each request that may be run."""

    def __init__(
        self, limits: Limits, deliver: Callable[[Inbound], object], sender: Sender
    ) -> None:
        self._limits = limits
        self._deliver = deliver
        self._sender = sender
        self._parser = HttpRequestParser(self)
        self.remote = ""
        self.receiving: Inbound | None = None
        self.in_message = self.in_body = False
        self.body_bytes = 0
        self._packet = self._head_bytes = 0
        self._url = b""
        self._headers: dict[str, str] = {}
        self._chunks: list[bytes] = []
        self._refused: Refusal | None = None
        self._asked, self._size = b"", 0

    def feed(self, data: bytes) -> Refusal | None:
        """Parse what arrived; a refusal when nothing after it can be read."""
        if not self.in_message:
            self._head_bytes = 0
        while data:
            self._packet = len(data)
            try:
                self._parser.feed_data(data)
                break
            except HttpParserUpgrade as e:
                # No upgrade is offered: answered as HTTP/1.1 (RFC 9110, 7.8).
                data = data[e.args[0] :] if self.receiving is None else b""
            except HttpParserError:
                return self._refused or MALFORMED
        if self.in_message and not self.in_body:
            self._head_bytes += len(data)
            if self._head_bytes > self._limits.head_bytes + 256 * 1024:
                return HEAD_TOO_LARGE
        return None

    def wait_for(self, head: bytes, length: int) -> None:
        """A request whose body, of ``length`` bytes, is to come."""
        self._asked, self._size = head, len(head) + length
        self.in_message = self.in_body = True
        self.body_bytes = 0

    def whole(self, data: bytes) -> bytes:
        """``data``, or the request it completes; b"" while some of that is missing."""
        size = self._size
        if not size:
            return data
        whole = self._asked + data  # few pieces, and small ones
        if len(whole) < size:
            self._asked = whole
            self.body_bytes += len(data)
            return b""
        self._asked, self._size = b"", 0
        self.in_message = self.in_body = False
        return whole

    def give_up(self) -> Inbound | None:
        """Forget the request that is being read, and return it."""
        broken, self.receiving = self.receiving, None
        self.in_message = self.in_body = False
        self._chunks, self._asked, self._size = [], b"", 0
        return broken

    def close(self) -> None:
        """The client went away: nothing is parsed any more. What it and the connection hold of each
        other is let go: a collector that looks rarely would find it late."""
        del self._parser, self._deliver, self._sender

    # --- the parser's callbacks --------------------------------------------------------------
    def on_message_begin(self) -> None:
        self.in_message, self.in_body = True, False
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
        if key not in headers and not self.in_body:
            headers[key] = value.decode("latin-1")
        elif not self.in_body:  # in the body it is a trailer: nothing here relies on one
            if key in ONCE:
                self._stop_parsing(400, "BadRequest", f"Repeated header {key}.")
            headers[key] += "," + value.decode("latin-1")

    def on_headers_complete(self) -> None:
        headers, limits = self._headers, self._limits
        self.in_body = True
        if len(headers) > limits.headers or (  # bytes are counted only where they may be many
            self._head_bytes + self._packet > limits.head_bytes
            and sum(map(len, headers)) + sum(map(len, headers.values())) > limits.head_bytes
        ):
            self._stop_parsing(*HEAD_TOO_LARGE)
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
        self.receiving = inbound
        if length == 0:
            return
        inbound.wants_continue = (
            "expect" in headers and headers["expect"].lower() == "100-continue" and not http10
        )
        self.body_bytes = 0
        # A client that asks first is answered by whoever reads the body, so that a refusal comes
        # before it is sent.
        if 0 < length <= limits.buffered_bytes and not inbound.wants_continue:
            return
        inbound.stream = request.stream = BodyQueue(
            length,
            limits.stream_high_bytes,
            self._sender.hold,
            self._sender.release,
            (lambda: self._sender.proceed(inbound)) if inbound.wants_continue else None,
        )
        self._deliver(inbound)

    def on_body(self, data: bytes) -> None:
        inbound = cast(Inbound, self.receiving)
        self.body_bytes += len(data)
        if inbound.stream is not None:
            if self.body_bytes > self._limits.body_bytes:
                self._stop_parsing(413, "EntityTooLarge", "Request body is too large.")
            inbound.stream.put(data)
        else:
            self._chunks.append(data)

    def on_message_complete(self) -> None:
        inbound = cast(Inbound, self.receiving)
        self.in_message = self.in_body = False
        self.receiving = None
        if inbound.stream is not None:
            inbound.stream.end()
            return
        if self._chunks:
            chunks, self._chunks = self._chunks, []
            request = cast(HttpRequest, inbound.request)
            request.body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._deliver(inbound)

    def _stop_parsing(self, status: int, code: str, message: str) -> None:
        self._refused = (status, code, message)
        raise ValueError(message)
