"""A small load generator: keep-alive HTTP/1.1, requests signed beforehand, server CPU per request.

Bounded in time and requests. Each connection sends its next request when the answer to the last
one is complete, so the offered load is ``connections`` requests in flight. The generator itself
costs about 10 µs a request: trust CPU per operation and ratios, not rates on a shared machine.
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop
from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ASKS, CONTINUE = b"\r\nExpect: 100-continue\r\n", b"HTTP/1.1 100 Continue\r\n\r\n"
HEAD_BYTES = 4096
RETRY = b"\r\namz-sdk-invocation-id: "
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """What one run saw. Times in milliseconds; ``cpu_us`` is server CPU (user + system, the whole
    process tree) per answered request, NaN where no process was named."""

    requests: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu_us: float

    @property
    def per_second(self) -> float:
        return self.requests / self.seconds

    def __str__(self) -> str:
        return (
            f"{self.per_second:,.0f}/s, p50 {self.p50_ms:.2f} ms, p99 {self.p99_ms:.2f} ms,"
            f" CPU {self.cpu_us:.1f} µs, {self.errors} errors of {self.requests}"
        )


def signed(
    host: str,
    service: str,
    key: str,
    secret: str,
    *,
    method: str = "POST",
    path: str = "/",
    headers: dict[str, str] | None = None,
    body: bytes = b"",
    region: str = "us-east-1",
) -> bytes:
    """One request as bytes, signed now (valid for the clock's tolerance: minutes)."""
    request = AWSRequest(method, f"http://{host}{path}", headers or {}, body)
    signer = S3SigV4Auth if service == "s3" else SigV4Auth
    signer(Credentials(key, secret), service, region).add_auth(request)
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def as_sent(client: Any, operation: str, **params: Any) -> bytes:
    """The bytes boto3's ``client`` sends for an operation, signed now."""
    sent: list[bytes] = []

    def take(request: Any, **more: Any) -> Any:
        lines = [f"{n}: {_text(v)}" for n, v in request.headers.items()]
        url = urlsplit(request.url)
        target = url.path + ("?" + url.query if url.query else "")
        first = f"{request.method} {target} HTTP/1.1", "Accept-Encoding: identity"
        host = () if "host" in request.headers else (f"Host: {url.netloc}",)
        body = request.body or b""
        text = "\r\n".join([*first, *host, *lines, "", ""]).encode()
        sent.append(text + (body if isinstance(body, bytes) else body.read()))
        raise _Taken

    client.meta.events.register_first("before-send", take)
    try:
        getattr(client, operation)(**params)
    except _Taken:
        return sent[0]
    finally:
        client.meta.events.unregister("before-send", take)
    raise AssertionError("nothing was sent")


class _Taken(Exception):
    """What was to be sent is known."""


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def fresh(data: bytes, number: int) -> bytes:
    """The request under another retry id, where it has one that is not signed: a repeat would get
    the first one's answer."""
    at = data.find(RETRY) + len(RETRY)
    return data if at < len(RETRY) else b"%b%036x%b" % (data[:at], number, data[at + 36 :])


def process_tree(pid: int) -> Iterator[int]:
    """``pid`` and all its descendants."""
    yield pid
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in task.read_text().split():
            yield from process_tree(int(child))


def cpu_seconds(pid: int) -> float:
    """User and system time of a process tree, from /proc/PID/stat."""
    total = 0
    for one in process_tree(pid):
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        total += int(fields[11]) + int(fields[12])
    return total / _TICK


class _Client(asyncio.Protocol):
    """One connection: send, wait for the whole answer, note the time, send the next."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._buffer = b""
        self._body = b""
        self._left = 0  # bytes of a body whose head was read
        self._head = False
        self._last = False  # the server wants another connection for the next request
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.WriteTransport = transport  # type: ignore[assignment]

    def send(self) -> None:
        self._sent_at = time.perf_counter()
        data = self._run.next()
        self._head = data.startswith(b"HEAD ")
        if data.find(ASKS, 0, HEAD_BYTES) >= 0:  # the body waits until it is asked for
            head, mark, self._body = data.partition(b"\r\n\r\n")
            data = head + mark
        self._transport.write(data)

    def data_received(self, data: bytes) -> None:
        if self._left:
            self._left -= len(data)
        elif not self._read_head(self._buffer + data):
            return
        if self._left > 0:
            return
        self._left = 0
        going_on = self._run.done(time.perf_counter() - self._sent_at)
        if going_on and not self._last:
            self.send()
            return
        if going_on:
            self._run.connect()
        self._transport.close()

    def _read_head(self, buffer: bytes) -> bool:
        """Whether the answer's head is there; ``_left`` is then what its body lacks yet."""
        if self._body and buffer.startswith(CONTINUE):
            buffer = buffer[len(CONTINUE) :]
            self._transport.write(self._body)
            self._body = b""
        end = buffer.find(b"\r\n\r\n")
        if end < 0:
            self._buffer = buffer
            return False
        head = buffer[:end].lower()
        at = head.find(b"content-length:")
        told = at >= 0 and not self._head  # of a HEAD it is the body's that a GET would have
        length = int(head[at + 15 :].split(b"\r\n", 1)[0]) if told else 0
        self._left = end + 4 + length - len(buffer)
        self._buffer = b""
        self._run.ok = head[9:10] == b"2"
        self._last = b"connection: close" in head
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        self._run.lost(exc)


class _Run:
    def __init__(self, port: int, requests: Sequence[bytes], seconds: float) -> None:
        self._port = port
        self._requests = requests
        self._connecting: set[asyncio.Task[None]] = set()
        self._next, self._first = 0, time.time_ns()
        self.ok = True
        self.errors = 0
        self.times: list[float] = []
        self.until = time.perf_counter() + seconds
        self.open = 0
        self.finished = asyncio.Event()

    def connect(self) -> None:
        """One connection more, that sends as soon as it stands."""
        self.open += 1
        task = asyncio.get_running_loop().create_task(self._connect())
        self._connecting.add(task)
        task.add_done_callback(self._connecting.discard)

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, client = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self._port)
        except OSError as e:
            self.lost(e)
        else:
            client.send()

    def next(self) -> bytes:
        self._next += 1
        return fresh(self._requests[self._next % len(self._requests)], self._first + self._next)

    def done(self, took: float) -> bool:
        self.times.append(took)
        self.errors += not self.ok
        return time.perf_counter() < self.until

    def lost(self, exc: Exception | None) -> None:
        self.errors += exc is not None
        self.open -= 1
        if not self.open:
            self.finished.set()


async def _measure(
    port: int, requests: Sequence[bytes], connections: int, seconds: float, pid: int
) -> Result:
    loop = asyncio.get_running_loop()
    run = _Run(port, requests, seconds)
    clients = []
    for _ in range(connections):
        _, client = await loop.create_connection(lambda: _Client(run), "127.0.0.1", port)
        clients.append(client)
    run.open = len(clients)
    before, start = cpu_seconds(pid) if pid else 0.0, time.perf_counter()
    run.until = start + seconds
    for client in clients:
        client.send()
    await asyncio.wait_for(run.finished.wait(), seconds + 30)
    took = time.perf_counter() - start
    used = cpu_seconds(pid) - before if pid else float("nan")
    times = sorted(run.times) or [float("nan")]
    return Result(
        len(run.times),
        run.errors,
        took,
        times[len(times) // 2] * 1000,
        times[len(times) * 99 // 100] * 1000,
        used / max(1, len(run.times)) * 1e6,
    )


def measure(
    port: int,
    requests: Sequence[bytes],
    *,
    connections: int = 32,
    seconds: float = 2.0,
    pid: int = 0,
) -> Result:
    """Run the load for ``seconds`` against 127.0.0.1:``port``; ``pid``: the server's process."""
    return uvloop.run(_measure(port, requests, connections, seconds, pid))


def row(target: str, name: str, runs: list[Result]) -> dict[str, Any]:
    """Medians over the rounds."""
    return {
        "target": target,
        "operation": name,
        "cpu_us": statistics.median(r.cpu_us for r in runs),
        "per_second": statistics.median(r.per_second for r in runs),
        "p50_ms": statistics.median(r.p50_ms for r in runs),
        "p99_ms": statistics.median(r.p99_ms for r in runs),
        "errors": sum(r.errors for r in runs),
    }
