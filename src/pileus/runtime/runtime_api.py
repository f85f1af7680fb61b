"""Lambda's Runtime API over HTTP for one worker: official clients, Node.js and any ``bootstrap``.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01. Each worker has
its own listening socket in its own network, so a connection tells who speaks.
"""

from __future__ import annotations

import asyncio
import binascii
import json
import socket
from base64 import b64decode
from typing import Protocol, cast

import httptools

from pileus.runtime.faults import too_large_error
from pileus.runtime.job import Job
from pileus.runtime.streaming import Source

PREFIX = b"/2018-06-01/runtime/"
BODY_BYTES_MAX = 16 * 1024 * 1024
UNREAD_BYTES_MAX = 512 * 1024  # of heads, trailers and chunk sizes, between two pieces of a body
CONNECTIONS_MAX = 16
ERROR_TYPE = b"lambda-runtime-function-error-type"
ERROR_BODY = b"lambda-runtime-function-error-body"
OCTETS = "application/octet-stream"
REASONS = {200: b"OK", 202: b"Accepted", 400: b"Bad Request", 403: b"Forbidden",
           404: b"Not Found", 413: b"Payload Too Large"}  # fmt: skip


class Events(Protocol):
    """What the worker's side of the conversation leads to."""

    def ready(self) -> None: ...
    def answered(self, request_id: str, payload: bytes, content_type: str) -> bool: ...
    def failed(self, request_id: str, payload: bytes) -> bool: ...
    def init_failed(self, payload: bytes) -> None: ...
    def streams(self, request_id: str, content_type: str, source: Source) -> bool: ...
    def streamed(self, request_id: str, data: bytes) -> bool: ...
    def stream_broken(self, request_id: str) -> None: ...


class RuntimeApi:
    """Serves ``…/invocation/next`` by a long poll: ``deliver`` answers it."""

    def __init__(self, events: Events) -> None:
        self._events = events
        self._server: asyncio.Server | None = None
        self._connections: set[Connection] = set()
        self._polling: Connection | None = None
        self._job: Job | None = None

    async def start(self, listener: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(self), sock=listener)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for connection in list(self._connections):
            connection.abort()

    def deliver(self, job: Job) -> None:
        """Hand ``job`` to the worker, now or at its next poll."""
        if self._polling is None:
            self._job = job
            return
        polling, self._polling = self._polling, None
        polling.respond(200, job.invocation.payload or b"{}", event_headers(job))

    def begun(self, connection: Connection, method: bytes, path: bytes) -> str:
        """A request whose head is here: the id of the invocation whose answer it streams, or ''."""
        if connection.header(b"lambda-runtime-function-response-mode").lower() != "streaming":
            return ""
        request_id = answered_id(method, path)
        content_type = connection.header(b"content-type") or OCTETS
        taken = request_id and self._events.streams(request_id, content_type, connection)
        return request_id if taken else ""

    def streamed(self, request_id: str, data: bytes) -> bool:
        return self._events.streamed(request_id, data)

    def broken(self, request_id: str) -> None:
        self._events.stream_broken(request_id)

    def too_large(self, method: bytes, path: bytes) -> None:
        """A body nobody will read to its end: a buffered answer over every limit."""
        request_id = answered_id(method, path)
        if request_id:
            self._events.failed(request_id, too_large_error())

    def joined(self, connection: Connection) -> bool:
        self._connections.add(connection)
        return len(self._connections) <= CONNECTIONS_MAX

    def left(self, connection: Connection) -> None:
        self._connections.discard(connection)
        if self._polling is connection:
            self._polling = None

    def request(self, connection: Connection, method: bytes, path: bytes, body: bytes) -> None:
        """Route one request (developer guide, "Using the Lambda runtime API")."""
        parts = path.partition(b"?")[0].removeprefix(PREFIX).split(b"/")
        known = path.startswith(PREFIX)
        if known and method == b"GET" and parts == [b"invocation", b"next"]:
            self._next(connection)
        elif known and method == b"POST" and parts == [b"init", b"error"]:
            connection.accept()
            self._events.init_failed(error_body(body, connection.header(b"error-type")))
        elif known and method == b"POST" and len(parts) == 3 and parts[0] == b"invocation":
            self._result(connection, parts[1].decode("latin-1"), parts[2], body)
        else:
            connection.refuse(404, "ResourceNotFound", "no such Runtime API path")

    def _next(self, connection: Connection) -> None:
        self._polling = connection
        self._events.ready()
        if self._job is not None:
            job, self._job = self._job, None
            self.deliver(job)

    def _result(self, connection: Connection, request_id: str, verb: bytes, body: bytes) -> None:
        failure = connection.trailer_error()
        if verb == b"response" and failure:
            taken = self._events.failed(request_id, failure)
        elif verb == b"response":
            kind = "" if connection.streaming else connection.header(b"content-type")
            taken = self._events.answered(request_id, body, kind)
        elif verb == b"error":
            error = error_body(body, connection.header(b"error-type"))
            taken = self._events.failed(request_id, error)
        else:
            connection.refuse(404, "ResourceNotFound", "no such Runtime API path")
            return
        if taken:
            connection.accept()
        else:
            connection.refuse(400, "InvalidRequestID", "Invalid request ID")


def answered_id(method: bytes, path: bytes) -> str:
    """The invocation that a POST answers; '' for another request."""
    parts = path.partition(b"?")[0].removeprefix(PREFIX).split(b"/")
    ours = method == b"POST" and path.startswith(PREFIX) and len(parts) == 3
    if not ours or (parts[0], parts[2]) != (b"invocation", b"response"):
        return ""
    return parts[1].decode("latin-1")


def event_headers(job: Job) -> list[tuple[str, str]]:
    headers = [
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", job.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(job.deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", job.invoked_arn),
    ]
    for name, value in (
        ("Lambda-Runtime-Trace-Id", job.invocation.trace_id),
        ("Lambda-Runtime-Client-Context", job.invocation.client_context),
        ("Lambda-Runtime-Cognito-Identity", job.invocation.identity),
    ):
        if value:
            headers.append((name, value.replace("\r", " ").replace("\n", " ")))
    return headers


def error_body(body: bytes, kind: str) -> bytes:
    """The error object to answer: the worker's own when it is one, else made from its type."""
    try:
        if isinstance(json.loads(body), dict):
            return body
    except ValueError:
        pass  # not JSON: told as text below
    text = body.decode("utf-8", "replace")[:4096]
    return json.dumps({"errorType": kind or "Runtime.Unknown", "errorMessage": text}).encode()


class Connection(asyncio.Protocol):
    """One keep-alive HTTP/1.1 connection of the worker."""

    def __init__(self, api: RuntimeApi) -> None:
        self._api = api
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self.streaming = ""  # the invocation whose answer comes in parts
        self._unread = 0
        self._reset()

    def _reset(self) -> None:
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self._trailers: dict[bytes, bytes] = {}
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._api.joined(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._api.left(self)
        if self.streaming:
            self._api.broken(self.streaming)

    def pause(self) -> None:
        """Read no more for now: the function waits in its write."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        self._unread += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.refuse(400, "InvalidRequest", "malformed HTTP")
            self.abort()
        if self._unread > UNREAD_BYTES_MAX:
            self.abort()

    def on_message_begin(self) -> None:
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer of a streamed response that failed midway
            if name.lower() in (ERROR_TYPE, ERROR_BODY):
                self._trailers[name.lower()] = value
        elif len(self._headers) < 100:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_body = True
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        self.streaming = self._api.begun(self, self._parser.get_method(), self._path)

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        if self.streaming:
            if not self._api.streamed(self.streaming, body):
                self.streaming = ""
                self._too_large()
            return
        self._size += len(body)
        if self._size <= BODY_BYTES_MAX:
            self._body.append(body)
        elif self._transport is not None and not self._transport.is_closing():
            self._api.too_large(self._parser.get_method(), self._path)
            self._too_large()

    def _too_large(self) -> None:
        self.refuse(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size")
        self.abort()

    def on_message_complete(self) -> None:
        self._unread = 0
        if self._transport is None or self._transport.is_closing():
            return  # cut: what it said is not believed
        body = b"".join(self._body)
        self._api.request(self, self._parser.get_method(), self._path, body)
        self.streaming = ""

    def trailer_error(self) -> bytes:
        """The error object of an answer that failed after it was begun; b"" where it did not."""
        if ERROR_TYPE not in self._trailers:
            return b""
        try:
            told = b64decode(self._trailers.get(ERROR_BODY, b""), validate=True)
        except binascii.Error:
            told = b""
        return error_body(told, self._trailers[ERROR_TYPE].decode("latin-1"))

    def header(self, name: bytes) -> str:
        """A request header; ``error-type`` is short for Lambda-Runtime-Function-Error-Type."""
        full = ERROR_TYPE if name == b"error-type" else name
        return self._headers.get(full, b"").decode("latin-1")

    def accept(self) -> None:
        self.respond(202, b'{"status":"OK"}\n', [("Content-Type", "application/json")])

    def refuse(self, status: int, kind: str, message: str) -> None:
        body = json.dumps({"errorType": kind, "errorMessage": message}).encode()
        self.respond(status, body, [("Content-Type", "application/json")])

    def respond(self, status: int, body: bytes, headers: list[tuple[str, str]]) -> None:
        if self._transport is None:
            return
        head = b"HTTP/1.1 %d %s\r\n" % (status, REASONS.get(status, b""))
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers)
        tail = b"Content-Length: %d\r\n\r\n" % len(body)
        self._transport.write(head + lines.encode("utf-8", "replace") + tail + body)
