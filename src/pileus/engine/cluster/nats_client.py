"""A client of the log's servers: the part of NATS' protocol the cluster speaks, and no more.

https://docs.nats.io/reference/reference-protocols/nats-protocol. TLS from the first byte, user and
password, headers, "no responders". Messages are handed to callbacks as they arrive, in order, on
the loop; what one turn of the loop sends is one write. When a server is gone or mute the next one
of the list is tried, at once and for ever; subscriptions go along, what was under way does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, cast

log = logging.getLogger("pileus.engine.nats")
CONNECT_S_MAX = 2.0
RETRY_S = 0.05
PING_S = 1.0
PINGS_UNANSWERED_MAX = 2
HOME_TURNS, HOME_S_MAX = 5, 0.5
NO_RESPONDERS = "503"


class Msg:
    """One message. ``headers`` holds a status line's number as ``Status``."""

    __slots__ = ("data", "headers", "reply", "subject")

    def __init__(
        self, subject: str, reply: str, data: bytes, headers: dict[str, str] | None
    ) -> None:
        self.subject = subject
        self.reply = reply
        self.data = data
        self.headers = headers


Callback = Callable[[Msg], Awaitable[None] | None]


class NotConnected(ConnectionError):
    """No server can be reached now."""


class NoResponders(ConnectionError):
    """Nobody listens to what was asked: a stream without a leader, for one."""


class Subscription:
    def __init__(self, client: Client, sid: int, subject: str, callback: Callback) -> None:
        self.sid = sid
        self.subject = subject
        self.callback = callback
        self._client = client

    async def unsubscribe(self) -> None:
        self._client.forget(self.sid)


class Client:
    """Made by ``connect``. All calls on one loop."""

    def __init__(
        self, servers: Sequence[str], user: str, password: str, tls: ssl.SSLContext, label: str
    ) -> None:
        self._servers = [_place(server) for server in servers]
        self._tls = tls
        self._hello = {
            "user": user,
            "pass": password,
            "name": label,
            "lang": "python",
            "version": "1",
            "protocol": 1,
            "verbose": False,
            "pedantic": False,
            "tls_required": True,
            "headers": True,
            "no_responders": True,
        }
        self._loop = asyncio.get_running_loop()
        self._line: _Line | None = None
        self._subscriptions: dict[int, Subscription] = {}
        self._sid = 0
        self._inbox = f"_INBOX.{os.urandom(9).hex()}"
        self._inboxes = 0
        self._asked: dict[str, asyncio.Future[Msg]] = {}
        self._tasks: set[asyncio.Future[None]] = set()
        self._runner: asyncio.Task[None] | None = None
        self._up = asyncio.Event()
        self.moved: list[Callable[[], None]] = []  # called after each new connection

    @property
    def is_connected(self) -> bool:
        return self._line is not None

    @property
    def server(self) -> str:
        """The name of the server this client is connected to; "" for none."""
        return self._line.server if self._line is not None else ""

    async def start(self) -> None:
        """Begin to connect; returns when a server has let this client in."""
        await self.subscribe(f"{self._inbox}.r.*", cb=self._answered)
        self._runner = self._loop.create_task(self._run())
        await self._up.wait()

    async def close(self) -> None:
        """Send what waits, then hang up."""
        if self._runner is not None:
            self._runner.cancel()
            await asyncio.gather(self._runner, return_exceptions=True)
        if self._line is not None:
            self._line.flush()
            self._line.hang_up()
            self._line = None
        for asked in self._asked.values():
            asked.cancel()

    # -- asking and telling ------------------------------------------------------------------

    def send(
        self,
        subject: str,
        data: bytes,
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """Publish, together with everything else of this turn of the loop. ``NotConnected`` when
        there is no server; what a server that dies had been sent may be lost."""
        if self._line is None:
            raise NotConnected("this node has no connection to the log's servers")
        if headers:
            told = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
            head = f"NATS/1.0\r\n{told}\r\n".encode()
            sizes = f"{len(head)} {len(head) + len(data)}"
            self._line.write(f"HPUB {subject} {reply} {sizes}\r\n".encode(), head, data)
        else:
            self._line.write(f"PUB {subject} {reply} {len(data)}\r\n".encode(), data)

    async def publish(
        self,
        subject: str,
        data: bytes = b"",
        reply: str = "",
        headers: Mapping[str, str] | None = None,
    ) -> None:
        """``send``."""
        self.send(subject, data, reply, headers)

    async def request(self, subject: str, data: bytes = b"", timeout: float = 5.0) -> Msg:
        """Ask, and wait for the first answer. ``TimeoutError`` when none comes (what became of it
        is unknown), ``NoResponders`` when nobody listens."""
        self._inboxes += 1
        token = str(self._inboxes)
        future = self._asked[token] = self._loop.create_future()
        try:
            async with asyncio.timeout(timeout):
                await self._up.wait()
                self.send(subject, data, f"{self._inbox}.r.{token}")
                told = await future
        finally:
            del self._asked[token]
        if not told.data and told.headers and told.headers.get("Status") == NO_RESPONDERS:
            raise NoResponders(f"nobody answers to {subject}")
        return told

    def new_inbox(self) -> str:
        """A subject nobody else uses."""
        self._inboxes += 1
        return f"{self._inbox}.i.{self._inboxes}"

    async def subscribe(self, subject: str, *, cb: Callback) -> Subscription:
        """Call ``cb`` with each message to ``subject``, in order; one that is a coroutine function
        runs beside the next."""
        self._sid += 1
        made = self._subscriptions[self._sid] = Subscription(self, self._sid, subject, cb)
        if self._line is not None:
            self._line.write(f"SUB {subject} {made.sid}\r\n".encode())
        return made

    def forget(self, sid: int) -> None:
        if self._subscriptions.pop(sid, None) is not None and self._line is not None:
            self._line.write(f"UNSUB {sid}\r\n".encode())

    # -- the connection ----------------------------------------------------------------------

    async def _run(self) -> None:
        """Connect, watch, connect again; the first of the list is tried first, and gone back to:
        another may be far, and its loss would be felt here too."""
        at, line = 0, None
        while True:
            host, port = self._servers[at % len(self._servers)]
            away, at = at % len(self._servers) != 0, at + 1
            if line is None:
                try:
                    async with asyncio.timeout(CONNECT_S_MAX):
                        line = await self._connect(host, port)
                except (OSError, TimeoutError, ssl.SSLError) as e:
                    log.debug("%s:%d does not answer: %r", host, port, e)
                    await asyncio.sleep(RETRY_S)
                    continue
            self._begin(line)
            now = line
            try:
                line = await self._watch(now, away)
            finally:
                now.hang_up()
            at = at if line is None else 0
            why = now.why if line is None else "the first one is back"
            log.info("the log's server at %s:%d is left: %s", host, port, why)
            self._line = None
            self._up.clear()

    def _begin(self, line: _Line) -> None:
        """What is subscribed to goes along; who waits for what was under way is told."""
        self._line = line
        for made in self._subscriptions.values():
            line.write(f"SUB {made.subject} {made.sid}\r\n".encode())
        self._up.set()
        for moved in self.moved:
            moved()

    async def _connect(self, host: str, port: int) -> _Line:
        _, made = await self._loop.create_connection(
            lambda: _Line(self), host, port, ssl=self._tls, server_hostname=host
        )
        try:
            line = made
            hello = json.dumps(self._hello).encode()
            line.write(b"CONNECT " + hello + b"\r\nPING\r\n")
            await asyncio.shield(line.greeted)
        except BaseException:
            made.hang_up()
            raise
        return line

    async def _watch(self, line: _Line, away: bool) -> _Line | None:
        """Until the connection ends, or the server is mute; or, ``away`` from the first server,
        until that one can be had: answers a connection to it."""
        turns = 0
        while not line.ended.is_set():
            if line.unanswered >= PINGS_UNANSWERED_MAX:
                line.why = "it does not answer"
                return None
            line.unanswered += 1
            line.write(b"PING\r\n")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(PING_S):
                    await line.ended.wait()
            turns += 1
            if away and turns % HOME_TURNS == 0 and not line.ended.is_set():
                with contextlib.suppress(OSError, TimeoutError, ssl.SSLError):
                    async with asyncio.timeout(HOME_S_MAX):
                        return await self._connect(*self._servers[0])
        return None

    def received(self, sid: int, msg: Msg) -> None:
        """A message of the connection."""
        subscription = self._subscriptions.get(sid)
        if subscription is None:
            return
        result = subscription.callback(msg)
        if result is not None:
            task = asyncio.ensure_future(result)
            self._tasks.add(task)
            task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("a message was not taken", exc_info=task.exception())

    def _answered(self, msg: Msg) -> None:
        future = self._asked.get(msg.subject.rpartition(".")[2])
        if future is not None and not future.done():
            future.set_result(msg)


class _Line(asyncio.Protocol):
    """One connection: the protocol's lines in, messages out."""

    def __init__(self, client: Client) -> None:
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.greeted.add_done_callback(lambda f: f.cancelled() or f.exception())
        self.ended = asyncio.Event()
        self.unanswered = 0
        self.why = "it hung up"
        self.server = ""
        self._client = client
        self._input = bytearray()
        self._output: list[bytes] = []
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None:
            self.why = str(exc)
        self.ended.set()
        if not self.greeted.done():
            self.greeted.set_exception(NotConnected(self.why))

    def hang_up(self) -> None:
        """At once: a frozen server would not say goodbye."""
        if self._transport is not None:
            self._transport.abort()

    def write(self, *parts: bytes) -> None:
        """One command; a payload among ``parts`` gets its line end here."""
        if not self._output:
            asyncio.get_running_loop().call_soon(self.flush)
        self._output.extend(parts)
        if len(parts) > 1:
            self._output.append(b"\r\n")

    def flush(self) -> None:
        output, self._output = self._output, []
        if output and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(output))

    def data_received(self, data: bytes) -> None:
        buffer = self._input
        buffer += data
        at = 0
        while (end := buffer.find(b"\r\n", at)) >= 0:
            words = buffer[at:end].split(b" ")
            kind = bytes(words[0])
            if kind in (b"MSG", b"HMSG"):
                size = int(words[-1])
                begin = end + 2
                if len(buffer) < begin + size + 2:
                    break
                self._message(kind, words, bytes(buffer[begin : begin + size]))
                at = begin + size + 2
            else:
                self._control(kind, bytes(buffer[at:end]))
                at = end + 2
        del buffer[:at]

    def _message(self, kind: bytes, words: list[bytearray], body: bytes) -> None:
        headers = None
        if kind == b"HMSG":
            size = int(words[-2])
            headers, body = _headers(body[:size]), body[size:]
            words = [*words[:-2], words[-1]]
        reply = words[3].decode() if len(words) == 5 else ""
        self._client.received(int(words[2]), Msg(words[1].decode(), reply, body, headers))

    def _control(self, kind: bytes, line: bytes) -> None:
        if kind == b"PONG":
            self.unanswered = 0
            if not self.greeted.done():
                self.greeted.set_result(None)
        elif kind == b"PING":
            self.write(b"PONG\r\n")
        elif kind == b"-ERR":
            self.why = line.decode(errors="replace")
            log.warning("the log's server says %s", self.why)
        elif kind == b"INFO":
            told = json.loads(line[5:])
            self.server = told.get("server_name", self.server)
            if told.get("ldm"):
                self.why = "it is stopping"
                self.ended.set()


def _headers(head: bytes) -> dict[str, str]:
    """``NATS/1.0 [status [description]]`` and lines of headers."""
    first, *lines = head.decode().split("\r\n")
    found: dict[str, str] = {}
    _, _, status = first.partition(" ")
    if status:
        found["Status"], _, found["Description"] = status.partition(" ")
    for line in lines:
        name, mark, value = line.partition(":")
        if mark:
            found[name] = value.strip()
    return found


def _place(server: str) -> tuple[str, int]:
    host, _, port = server.rpartition(":")
    return host.strip("[]"), int(port)


async def connect(
    servers: Sequence[str], user: str, password: str, tls: ssl.SSLContext, label: str, **more: Any
) -> Client:
    """A client of ``servers`` (``host:port``), connected."""
    made = Client(servers, user, password, tls, label)
    try:
        await made.start()
    except BaseException:
        await made.close()
        raise
    return made
