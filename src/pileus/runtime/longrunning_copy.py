"""One copy of a long-running service: from its enclosure to its end.

A copy is STARTING until its health check first succeeds, then HEALTHY, STOPPING once it is told to
end. Whatever ends it (itself, its health, its memory, us) leads to ``on_end`` exactly once.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
import socket
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from pileus.errors import AwsError, Unavailable
from pileus.runtime import log
from pileus.runtime.frames import HEAD
from pileus.runtime.function import Code
from pileus.runtime.jail import PROCESSES_MAX
from pileus.runtime.launcher import Enclosure, Launcher
from pileus.runtime.longrunning import (
    HEALTHY,
    STARTING,
    STATUS_OK,
    STOPPING,
    UNHEALTHY,
    ServiceSpec,
)
from pileus.runtime.longrunning_credentials import CredentialsDoor
from pileus.runtime.longrunning_environment import CREDENTIALS_PATH, Surroundings, variables
from pileus.runtime.memory import exceeds
from pileus.runtime.proxy import Neighbours, Proxy
from pileus.runtime.python_worker import SPECIALISE
from pileus.runtime.relay import Relay
from pileus.runtime.worker import Setting

FIRST_PROBE_S = 0.05
STAYS_UP_S = 1.0  # a service without a port is well when it has run for this long
SOCKETS_BATCH = 16
DRAIN_S = 5.0  # how long open connections may keep a copy from being told to end
DRAIN_STEP_S = 0.1
MEGABYTE = 1024 * 1024
ESTABLISHED = "01"  # proc(5), /proc/net/tcp


@dataclass(frozen=True)
class Platform:
    """What all copies of this runtime share. ``unpack`` answers the code's folder name."""

    launcher: Launcher
    setting: Setting
    unpack: Callable[[Code], Awaitable[str]]
    neighbours: Callable[[ServiceSpec], Neighbours]


class Copy:
    """Call ``start``, then ``stop`` or ``fail``. ``on_change`` is called when its state changes."""

    def __init__(
        self,
        spec: ServiceSpec,
        number: int,
        platform: Platform,
        on_change: Callable[[], None],
        on_end: Callable[[Copy], None],
    ) -> None:
        self.spec = spec
        self.number = number
        self.id = f"{spec.name}-{number}-{secrets.token_hex(4)}"
        self.state = STARTING
        self.failures = 0
        self.reason = ""  # why it is being ended
        self.trouble = ""  # what is wrong with its health
        self.last_exit = ""
        self.since_ms = log.now_ms()
        self.healthy_at = 0.0
        self.port = spec.port
        self.lines: list[log.Line] = []
        self._platform = platform
        self._on_change = on_change
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._enclosure: Enclosure | None = None
        self._output: log.LogReader | None = None
        self._doors: list[Relay | Proxy | CredentialsDoor] = []
        self._stock: deque[socket.socket] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended = False

    # -- from start to end ------------------------------------------------------------------

    def start(self) -> None:
        """Build its enclosure and run its command, in the background."""
        self._spawn_task(self._start())

    def _spawn_task(self, work: Any) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _start(self) -> None:
        try:
            folder = await self._platform.unpack(self.spec.code)
            enclosure = await self._platform.launcher.spawn(net=True)
            if self.state == STOPPING:
                enclosure.kill()
            await self._run_in(enclosure, folder)
        except (Unavailable, AwsError, OSError, TimeoutError) as e:
            if self._enclosure is not None:
                self._enclosure.kill()
            self._end(f"it cannot be started: {e or type(e).__name__}")
            return
        if self.spec.port:
            await self._watch_health()
        else:
            await asyncio.sleep(STAYS_UP_S)
            self._well()

    async def _run_in(self, enclosure: Enclosure, folder: str) -> None:
        self._enclosure = enclosure
        enclosure.on_exit = self._exited
        self._output = log.LogReader(enclosure.log_fd)
        token = secrets.token_urlsafe(24)
        setting = self._platform.setting
        if not setting.weak:
            relay, proxy = Relay(setting.api), Proxy(setting.egress_allowed)
            proxy.neighbours = self._platform.neighbours(self.spec)
            await relay.start(enclosure.doors[0])
            secure = Relay(setting.api, setting.tls)
            await proxy.start(enclosure.doors[1])
            await secure.start(enclosure.doors[2])
            self._doors = [relay, proxy, secure]
        credentials = CredentialsDoor(token, lambda: self.spec.credentials)
        await credentials.start(enclosure.doors[-1])
        self._doors.append(credentials)
        if enclosure.group is not None:
            size = (self.spec.memory_mb + self.spec.ephemeral_mb) * MEGABYTE
            enclosure.group.limit(size, PROCESSES_MAX, self.spec.memory_mb)
        body = json.dumps(self._settings(enclosure, folder, token)).encode()
        enclosure.control.sendall(HEAD.pack(len(body), SPECIALISE) + body)

    def _settings(self, enclosure: Enclosure, folder: str, token: str) -> dict[str, Any]:
        setting, around = self._platform.setting, Surroundings()
        if setting.weak:
            host, port = setting.api
            around = Surroundings(
                str(setting.code / folder), setting.node, setting.node_modules,
                f"http://{host}:{port}", "", f"http://127.0.0.1:{enclosure.port}{CREDENTIALS_PATH}",
                "",
            )  # fmt: skip
            if self.port:
                self.port = _free_port()
        return {
            "code": folder,
            "layers": "",
            "tmp_mb": self.spec.ephemeral_mb,
            "data_mb": 0,
            "task": around.task,
            "argv": list(self.spec.command),
            "env": variables(self.spec, around, self.id, token, self.port),
            "stays": True,
        }

    def stop(self) -> None:
        """No new requests, let those under way finish, ask it to end, then end it."""
        if self.state != STOPPING:
            self._say(STOPPING)
            self._spawn_task(self._stop())

    async def _stop(self) -> None:
        enclosure = self._enclosure
        if enclosure is None:
            self._end("stopped")
            return
        deadline = self._loop.time() + DRAIN_S
        await asyncio.sleep(DRAIN_STEP_S)
        while self._connections() and self._loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(DRAIN_STEP_S)
        enclosure.terminate()
        await asyncio.sleep(self.spec.stop_s)
        self.reason = f"it did not end within {self.spec.stop_s:g} s of SIGTERM"
        enclosure.kill()

    def fail(self, reason: str) -> None:
        """It is of no use any more: end it now."""
        self.reason = reason
        if self.state != STOPPING:
            self._say(UNHEALTHY)
        if self._enclosure is None:
            self._end(reason)
        else:
            self._enclosure.kill()

    def _exited(self, status: int) -> None:
        """Process 1 has ended, and everything with it."""
        told = _ending(status)
        enclosure = self._enclosure
        if enclosure is not None and enclosure.group is not None and status in (137, -9):
            try:
                if enclosure.group.out_of_memory():
                    told = f"out of memory ({self.spec.memory_mb} MB)"
            except OSError:
                pass  # its group went with it: the signal is all there is to tell
        self._end(f"{self.reason} ({told})" if self.reason else told)

    def _end(self, how: str) -> None:
        if self._ended:
            return
        self._ended = True
        self.last_exit = how
        for door in self._doors:
            door.close()
        if self._output is not None:
            self._output.drain()
            self.lines += self._output.take()
            self._output.close(self._loop)
        if self._enclosure is not None:
            self._enclosure.control.close()
        while self._stock:
            self._stock.pop().close()
        current = asyncio.current_task()
        for task in self._tasks:
            if task is not current:
                task.cancel()
        self._on_end(self)

    def _say(self, state: str) -> None:
        self.state, self.since_ms = state, log.now_ms()
        self._on_change()

    # -- health -----------------------------------------------------------------------------

    @property
    def healthy(self) -> bool:
        return self.state == HEALTHY

    def _well(self) -> None:
        if self.state == STARTING:
            self.healthy_at = time.monotonic()
            self._say(HEALTHY)

    async def _watch_health(self) -> None:
        started, pause = self._loop.time(), FIRST_PROBE_S
        while not self._ended:
            trouble = await self._probe()
            check = self.spec.health
            before, self.failures = self.failures, self.failures + 1 if trouble else 0
            self.trouble = f"health check: {trouble}" if trouble else ""
            if not trouble:
                self._well()
            if bool(before) != bool(self.failures) and self.state == HEALTHY:
                self._on_change()
            if self.state == STARTING:
                if self._loop.time() - started > check.grace_s:
                    self.fail(f"not healthy within {check.grace_s:g} s: {trouble}")
                    return
                pause = min(pause * 1.5, check.interval_s)
            else:
                pause = check.interval_s
                if self.failures >= check.failures_max and self.state == HEALTHY:
                    self.fail(f"health check failed {self.failures} times: {trouble}")
                    return
            await asyncio.sleep(pause)

    async def _probe(self) -> str:
        """'' when it is well, else what is wrong."""
        check = self.spec.health
        try:
            async with asyncio.timeout(check.timeout_s):
                reader, writer = await self.connect()
                try:
                    return await _ask(reader, writer, check.path) if check.path else ""
                finally:
                    writer.close()
        except TimeoutError:
            return f"no answer within {check.timeout_s:g} s"
        except (OSError, EOFError, Unavailable) as e:
            return str(e) or type(e).__name__

    def over_memory(self) -> bool:
        enclosure = self._enclosure
        if enclosure is None or enclosure.exited:
            return False
        return exceeds(enclosure.group, enclosure.pid, self.spec.memory_mb * MEGABYTE)

    # -- its network ------------------------------------------------------------------------

    async def sockets(self, count: int) -> list[socket.socket]:
        """TCP sockets of its network, to be connected to ``port``."""
        if self._enclosure is None or self._ended:
            raise Unavailable("it is not running")
        return await self._platform.launcher.sockets(self._enclosure, count)

    async def socket(self) -> socket.socket:
        """A socket connected to its port. ``OSError`` when nothing listens there yet."""
        if not self._stock:
            self._stock.extend(await self.sockets(SOCKETS_BATCH))
        sock = self._stock.popleft()
        sock.setblocking(False)
        try:
            await self._loop.sock_connect(sock, ("127.0.0.1", self.port))
        except BaseException:
            sock.close()
            raise
        return sock

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(sock=await self.socket())

    def _connections(self) -> int:
        """How many connections its port holds."""
        if self._enclosure is None or not self.port:
            return 0
        try:
            with open(f"/proc/{self._enclosure.pid}/net/tcp") as f:
                rows = [line.split() for line in f.readlines()[1:]]
        except OSError:
            return 0  # it has ended
        local = f":{self.port:04X}"
        return sum(row[1].endswith(local) and row[3] == ESTABLISHED for row in rows)

    # -- told -------------------------------------------------------------------------------

    def take_lines(self) -> list[log.Line]:
        """What it printed since the last call: one pipe full at most. Who prints faster waits."""
        if self._output is not None and not self._ended:
            self._output.drain(1)
            self.lines += self._output.take(now_too=False)
        lines, self.lines = self.lines, []
        return lines

    def told(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "number": self.number,
            "revision": self.spec.revision,
            "state": self.state,
            "since_ms": self.since_ms,
            "failures": self.failures,
            "reason": self.reason or self.trouble,
            "port": self.port,
        }


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, path: str) -> str:
    head = (
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Pileus-HealthCheck\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode())
    line = await reader.readline()
    words = line.split(None, 2)
    if len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        return "it does not speak HTTP" if line else "it closed the connection"
    status = int(words[1])
    return "" if status in STATUS_OK else f"status {status}"


def _ending(status: int) -> str:
    number = -status if status < 0 else status - 128
    if status < 0 or 0 < number < 65:
        try:
            return f"signal {signal.Signals(number).name}"
        except ValueError:
            return f"signal {number}"
    return f"exit status {status}"


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
