"""The HTTP/1.1 server: listeners, limits, time, orderly stop (RFC 9110, RFC 9112).

One ``Server`` per process and address; several processes share a port by SO_REUSEPORT. What one
connection does is in ``connection``; how an answer becomes bytes is in ``respond``.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable
from email.utils import formatdate
from time import perf_counter_ns
from typing import Any

from pileus.services.call import HttpRequest, HttpResponse
from pileus.telemetry import Meters, histogram
from pileus.wire import overdue
from pileus.wire.asking import told_to_go_on, waits_for_body
from pileus.wire.connection import Connection
from pileus.wire.flight import send_known_file
from pileus.wire.handing_over import HandingOver
from pileus.wire.known_heads import END
from pileus.wire.known_objects import KnownObjects
from pileus.wire.limits import Limits
from pileus.wire.outbox import Outbox, Tally
from pileus.wire.whole import WholeRequests

Handler = Callable[[HttpRequest], "HttpResponse | Awaitable[HttpResponse]"]
Recognise = Callable[[bytes, str], "HttpRequest | None"]
Instant = Callable[[bytes, bytes], "bytes | None"]
Learn = Callable[[Connection, bytes, HttpRequest], None]
Where = socket.socket | tuple[str, int] | str
Name = Callable[[Any], "str | None"]

SWEEP_S = 0.5
HANDSHAKE_S = 10.0


class Server:
    """A running listener. ``port`` is the bound one (0 for a Unix socket)."""

    def __init__(
        self,
        handler: Handler,
        limits: Limits,
        recognise: Recognise | None = None,
        instant: Instant | None = None,
        tls: ssl.SSLContext | None = None,
        client: Name | None = None,
        meters: Meters | None = None,
        name: str = "api",
        objects: KnownObjects | None = None,
        learn: Learn | None = None,
    ) -> None:
        self.handler = handler
        self.objects = objects
        self.learn = learn
        self.tls = tls
        self.client = client
        self.limits = limits
        self.loop = asyncio.get_running_loop()
        self.connections: set[Connection] = set()
        self.addresses: dict[str, int] = {}
        self.stopping = False
        self.port = 0
        self.now = 0.0
        self.date = b""
        self.requests = 0
        self.bytes_in = 0
        self.count: Callable[[int, int, int, int], None] = _uncounted
        self._cells, self._own = [0.0] * histogram.CELLS, 0
        instants = 0 if meters is None else self._meter(meters, name)
        self._instants = self.tally(instants)
        held = min(limits.head_bytes, limits.buffered_bytes, limits.body_bytes)
        self.outbox = Outbox(self.loop)
        self.handing_over: HandingOver | None = None
        self.tallies: dict[int, Tally] = {}  # by block of counters: as many as there are kinds
        self._whole = WholeRequests(limits.uri_bytes, held, limits.headers)
        self._recognise = recognise
        self._instant = instant
        self._emptied = asyncio.Event()
        self._listener: asyncio.AbstractServer | None = None
        self._sweeper: asyncio.TimerHandle | None = None

    def _meter(self, meters: Meters, name: str) -> int:
        """Count what this server is asked; requests that nothing recognises go by its own name.
        The block of those that ``instant`` answers."""
        own = meters.requests("pileus_request", service=name, operation="")
        self.count = histogram.counting(meters.cells, own)
        self._cells, self._own = meters.cells, own
        meters.gauge("pileus_connections", lambda: len(self.connections), server=name)
        meters.gauge("pileus_received_bytes_total", lambda: self.bytes_in, server=name)
        return meters.requests("pileus_request", service=name, operation="instant")

    async def listen(self, where: Where) -> None:
        """Bind and accept. A (host, port) is bound with SO_REUSEPORT; port 0 picks a free one."""
        self._sweep()
        if isinstance(where, str):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(where)
            self._listener = await self.loop.create_unix_server(
                lambda: Connection(self), path=where, backlog=1024
            )
            return
        sock = where if isinstance(where, socket.socket) else bind(*where)
        self.port = sock.getsockname()[1] if sock.family != socket.AF_UNIX else 0
        self._listener = await self.loop.create_server(
            lambda: Connection(self),
            sock=sock,
            backlog=4096,
            ssl=self.tls,
            ssl_handshake_timeout=HANDSHAKE_S if self.tls else None,
        )

    def remote(self, transport: asyncio.BaseTransport) -> str | None:
        """Who is at the other end: an address, or the name by its certificate; None: a
        stranger."""
        if self.client is not None:
            return self.client(transport.get_extra_info("peercert"))
        peer = transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else "127.0.0.1"

    def answered(self, data: bytes, connection: Connection) -> bool:
        """Whether the request that ``data`` is, no POST, got its answer, or waits for its entry:
        known for these very bytes, or for most of them."""
        begun = perf_counter_ns()
        if self.stopping:
            return False
        if data[:5] == b"POST ":
            return waits_for_body(data, connection)
        if self._instant is not None:
            raw = self._instant(data, self.date)
            if raw is not None:
                self.send(connection.transport, raw, self._instants, begun)
                return True
        objects, first = self.objects, data[:5]
        if objects is None:
            return False
        if first == b"PUT /":
            if data[-4:] == END and told_to_go_on(data, connection, objects.bytes_max):
                return True
            if not objects.put(data, connection, begun):
                return False
            objects.repeat(connection, data.find(END))
            return True
        if first == b"GET /":
            found = objects.get(data, self.date)
        else:
            found = objects.head(data, self.date) if first == b"HEAD " else None
        if found is None:
            return False
        raw, meter, file = found
        if file is None:
            tally = self.tallies.get(meter) or self.tallied(meter)
            self.send(connection.transport, raw, tally, begun)
            objects.repeat(connection, len(data) - len(END))
        else:
            self.requests += 1
            self.count(meter, 200, file.length, begun)
            send_known_file(connection, raw, file)
        return True

    def send(self, transport: Any, raw: bytes, tally: Tally, begun_ns: int) -> None:
        """Send the answer of a request that ends with it; it is counted with its turn's."""
        outbox = self.outbox
        if outbox.waiting:
            outbox.put(transport, raw)
        else:
            transport.write(raw)
        if not tally.begun:
            outbox.count(tally)
        tally.begun.append(begun_ns)
        tally.bytes += len(raw)

    def tallied(self, meter: int) -> Tally:
        """A block's tally, its first."""
        tally = self.tallies[meter] = self.tally(meter)
        return tally

    def strict(self, data: bytes, remote: str) -> HttpRequest:
        """A request whose like was read before."""
        found = self._whole.read(data, remote)
        assert found is not None, "a known head is what the strict reader has read"
        return found

    def read(self, data: bytes, remote: str) -> HttpRequest | None:
        """The request that ``data`` is, when it is whole and plain; None: parse it."""
        if self._recognise is not None and data[:5] == b"POST ":
            request = self._recognise(data, remote)
            if request is not None:
                return request
        return self._whole.read(data, remote)

    def tally(self, block: int) -> Tally:
        """Counts answers of one kind by turns."""
        return Tally(self._cells, (self._own and block) or self._own, self._answered)

    def _answered(self, count: int) -> None:
        self.requests += count

    def _sweep(self) -> None:
        """Twice a second: the coarse clock, the Date header, and every connection's time limits."""
        self.now = time.monotonic()
        self.date = b"date: " + formatdate(usegmt=True).encode() + b"\r\n"
        for connection in tuple(self.connections):
            overdue.check(connection, self.now)
        self._sweeper = self.loop.call_later(SWEEP_S, self._sweep)

    def admit(self, connection: Connection, address: str) -> bool:
        """Count a new connection in; False when there are too many in all or from its address."""
        held = self.addresses.get(address, 0)
        limits = self.limits
        if len(self.connections) >= limits.connections or held >= limits.connections_per_address:
            return False
        self.connections.add(connection)
        self.addresses[address] = held + 1
        if self.stopping:  # it was in the queue already: one answer, as others get
            asyncio.get_running_loop().call_later(limits.queued_s, connection.stop)
        return True

    def leave(self, connection: Connection, address: str) -> None:
        """Count a lost connection out."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        if self.stopping and not self.connections:
            self._emptied.set()
        held = self.addresses[address] - 1
        if held:
            self.addresses[address] = held
        else:
            del self.addresses[address]

    async def stop(self, grace_s: float | None = None) -> None:
        """Refuse new connections, close idle ones, let requests in flight finish (at most
        ``grace_s``), then cut the rest."""
        if self.stopping:
            return
        self.stopping = True
        if self._listener is not None:
            self._listener.close()
            await asyncio.sleep(0)  # who was let in by then is answered, too
        for connection in tuple(self.connections):
            connection.stop()
        if self.connections:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(
                    self._emptied.wait(), self.limits.stop_s if grace_s is None else grace_s
                )
        for connection in tuple(self.connections):
            connection.abort()
        if self._sweeper is not None:
            self._sweeper.cancel()
        await asyncio.sleep(0)


def _uncounted(block: int, status: int, size: int, begun_ns: int) -> None:
    """Nobody reads this server's counters."""


def bind(host: str, port: int) -> socket.socket:
    """A TCP socket bound with SO_REUSEPORT, so that every front process may bind the same port."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind((host, port))
        if ipaddress.ip_address(sock.getsockname()[0]).is_loopback:
            _unpaced(sock)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def _unpaced(sock: socket.socket) -> None:
    """Have connections that never leave this machine sent to without delay, whatever the machine
    does on networks: BBR spreads 10 KB over timers and wake-ups, a quarter more CPU (tcp(7))."""
    with contextlib.suppress(OSError, AttributeError):  # another system, or not to be had here
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, b"reno")


async def serve(
    handler: Handler,
    where: Where,
    limits: Limits | None = None,
    recognise: Recognise | None = None,
    instant: Instant | None = None,
    tls: ssl.SSLContext | None = None,
    client: Name | None = None,
    meters: Meters | None = None,
    name: str = "api",
    objects: KnownObjects | None = None,
    learn: Learn | None = None,
) -> Server:
    """Start serving ``handler`` on a socket, a (host, port), or the path of a Unix socket.

    The handler gets one request at a time per connection, in the order they came; it answers an
    ``HttpResponse``, or an awaitable of one. What it raises becomes a 500 and a line in the log.
    ``recognise`` is asked first for a POST that may have come whole, for a GET ``instant`` (told
    the bytes and the Date line) for its whole answer. ``tls``: encrypted, on TCP only; ``client``
    is then told the certificate a client showed (``SSLObject.getpeercert``) and answers its name,
    which becomes the requests' ``remote``; None: it is not served. ``meters`` count under ``name``.
    ``objects`` is asked for small objects before anything is read; ``learn`` is shown what
    ``recognise`` knew, once it is answered.
    """
    told = recognise, instant, tls, client, meters, name, objects, learn
    server = Server(handler, limits or Limits(), *told)
    await server.listen(where)
    return server
