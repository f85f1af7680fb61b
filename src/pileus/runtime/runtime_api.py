"""Lambda's Runtime API over HTTP for one worker: official clients, Node.js and any ``bootstrap``.

https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html, version 2018-06-01. Each worker has
its own listening socket in its own network, so a connection tells who speaks.
"""

from __future__ import annotations

import asyncio
import json
import socket
from typing import Protocol, cast

import httptools

from pileus.runtime.job import Job

PREFIX = b"/2018-06-01/runtime/"
BODY_BYTES_MAX = 16 * 1024 * 1024
CONNECTIONS_MAX = 16
REASONS = {200: b"OK", 202: b"Accepted", 400: b"Bad Request", 403: b"Forbidden",
           404: b"Not Found", 413: b"Payload Too Large"}  # fmt: skip


class Events(Protocol):
    """What the worker's side of the conversation leads to."""

    def ready(self) -> None: ...
    def answered(self, request_id: str, payload: bytes, content_type: str) -> bool: ...
    def failed(self, request_id: str, payload: bytes) -> bool: ...
    def init_failed(self, payload: bytes) -> None: ...


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
        polling.respond(200, job.payload or b"{}", event_headers(job))

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
        if verb == b"response" and connection.trailer_error:
            taken = self._events.failed(request_id, error_body(b"", connection.trailer_error))
        elif verb == b"response":
            kind = connection.header(b"content-type")
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


def event_headers(job: Job) -> list[tuple[str, str]]:
    headers = [
        ("Content-Type", "application/json"),
        ("Lambda-Runtime-Aws-Request-Id", job.request_id),
        ("Lambda-Runtime-Deadline-Ms", str(job.deadline_ms)),
        ("Lambda-Runtime-Invoked-Function-Arn", job.invoked_arn),
    ]
    for name, value in (
        ("Lambda-Runtime-Trace-Id", job.trace_id),
        ("Lambda-Runtime-Client-Context", job.client_context),
        ("Lambda-Runtime-Cognito-Identity", job.identity),
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
        self._reset()

    def _reset(self) -> None:
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._body: list[bytes] = []
        self._size = 0
        self.trailer_error = ""
        self._in_body = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if not self._api.joined(self):
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._api.left(self)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.refuse(400, "InvalidRequest", "malformed HTTP")
            self.abort()

    def on_message_begin(self) -> None:
        self._reset()

    def on_url(self, url: bytes) -> None:
        self._path += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_body:  # a trailer of a streamed response that failed midway
            if name.lower() == b"lambda-runtime-function-error-type":
                self.trailer_error = value.decode("latin-1")
        elif len(self._headers) < 100:
            self._headers[name.lower()] = value

    def on_headers_complete(self) -> None:
        self._in_body = True
        if self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        self._size += len(body)
        if self._size <= BODY_BYTES_MAX:
            self._body.append(body)

    def on_message_complete(self) -> None:
        if self._size > BODY_BYTES_MAX:
            self.refuse(413, "RequestEntityTooLarge", "Exceeded maximum allowed payload size")
            self.abort()
            return
        body = b"".join(self._body)
        self._api.request(self, self._parser.get_method(), self._path, body)

    def header(self, name: bytes) -> str:
        """A request header; ``error-type`` is short for Lambda-Runtime-Function-Error-Type."""
        full = b"lambda-runtime-function-error-type" if name == b"error-type" else name
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
