"""The runtime's end of the zygote's control socket: start workers, learn of their ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.cgroups import Cgroups, Group

POOLED_MEMORY_MB = 256
START_TIMEOUT_S = 30.0
MESSAGE_BYTES_MAX = 64 * 1024
FDS_MAX = 32


@dataclass(slots=True, eq=False)
class Enclosure:
    """A jailed process 1 that waits for a function: what the runtime holds of it. Without a jail
    (``weak``) it is the leader of a process group."""

    slot: int
    control: socket.socket
    log_fd: int
    group: Group | None
    weak: bool = False
    pid: int = 0
    pidfd: int = -1
    doors: list[socket.socket] = field(default_factory=list)
    port: int = 0
    network: int = -1  # its network namespace, where that was asked for
    on_exit: Callable[[int], None] | None = None
    exited: bool = False

    def terminate(self) -> None:
        """Ask process 1 to end (SIGTERM)."""
        if not self.exited and self.pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGTERM)

    def kill(self) -> None:
        """End process 1, and with it everything in its process namespace."""
        if not self.exited and self.pidfd >= 0:
            if self.weak:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(self.pid, signal.SIGKILL)
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)


class Launcher:
    """Starts enclosures one after another. ``on_end(reason)`` is called when the zygote is gone."""

    def __init__(
        self, options: dict[str, Any], cgroups: Cgroups, on_end: Callable[[str], None]
    ) -> None:
        self._options = options
        self._cgroups = cgroups
        self._on_end = on_end
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._slots: set[int] = set()
        self._serial = 0
        self._starting: dict[int, tuple[Enclosure, asyncio.Future[Enclosure]]] = {}
        self._built: dict[int, tuple[Enclosure, asyncio.Future[Enclosure]]] = {}
        self._running: dict[int, Enclosure] = {}
        self._ready: asyncio.Future[None] | None = None
        self._removals: set[asyncio.Task[None]] = set()
        self._asked: dict[int, asyncio.Future[list[socket.socket]]] = {}

    async def start(self) -> None:
        """Start the zygote and wait until it is warm. Raises ``Unavailable`` with the reason when
        its private root cannot be built."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        loop = asyncio.get_running_loop()
        self._ready = loop.create_future()
        self._process = subprocess.Popen(  # a fork and exec, once
            [
                *(sys.executable, "-s", "-m", "pileus.runtime.zygote"),
                *(str(theirs.fileno()), json.dumps(self._options)),
            ],
            pass_fds=(theirs.fileno(),),
            stdin=subprocess.DEVNULL,
            env=zygote_environment(),
        )
        theirs.close()
        ours.setblocking(False)
        self._control = ours
        loop.add_reader(ours.fileno(), self._on_message)
        await self._ready

    async def spawn(self, net: bool = False) -> Enclosure:
        """A fresh enclosure; ``Unavailable`` when it cannot be built. ``net``: its network is kept
        at hand for ``sockets``."""
        slot = next(n for n in range(len(self._slots) + 1) if n not in self._slots)
        self._slots.add(slot)
        self._serial += 1
        control, worker_end = socket.socketpair()
        log_fd, worker_log = os.pipe2(os.O_CLOEXEC)
        group, procs = None, []
        try:
            group = self._cgroups.create(f"w{self._serial}")
            if group is not None:
                group.limit(POOLED_MEMORY_MB * 1024 * 1024, 64, POOLED_MEMORY_MB)
                procs = group.open_procs()
            enclosure = Enclosure(slot, control, log_fd, group, self._options["weak"])
            future: asyncio.Future[Enclosure] = asyncio.get_running_loop().create_future()
            self._starting[slot] = (enclosure, future)
            wanted = net and not self._options["weak"]
            order = json.dumps({"slot": slot, "net": wanted}).encode()
            self._send(order, [worker_end.fileno(), worker_log, *procs])
        finally:
            worker_end.close()
            os.close(worker_log)
            for fd in procs:
                os.close(fd)
        async with asyncio.timeout(START_TIMEOUT_S):
            return await future

    async def sockets(self, enclosure: Enclosure, count: int) -> list[socket.socket]:
        """TCP sockets, not connected, of the enclosure's own network. ``Unavailable`` when it has
        ended."""
        if enclosure.weak:
            return [socket.socket() for _ in range(count)]
        if enclosure.network < 0:
            raise Unavailable("it has ended")
        self._serial += 1
        number = self._serial
        future = self._asked[number] = asyncio.get_running_loop().create_future()
        order = json.dumps({"sockets": number, "count": count}).encode()
        self._send(order, [enclosure.network])
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                return await future
        finally:
            self._asked.pop(number, None)

    def _given(self, message: dict[str, Any], fds: list[int]) -> None:
        made = [socket.socket(fileno=fd) for fd in fds]
        future = self._asked.get(message["sockets"])
        if future is None or future.done():
            for s in made:
                s.close()
        elif "error" in message:
            future.set_exception(Unavailable(message["error"]))
        else:
            future.set_result(made)

    def _send(self, order: bytes, fds: list[int]) -> None:
        if self._control is None:
            raise Unavailable("the function runtime's parent of workers is gone")
        socket.send_fds(self._control, [order], fds)

    def _on_message(self) -> None:
        assert self._control is not None
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._control, MESSAGE_BYTES_MAX, FDS_MAX)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._lost("the parent of workers ended")
                return
            message = json.loads(data)
            if "spawned" in message:
                self._spawned(message, fds)
            elif "exit" in message:
                self._exited(message["exit"], message["status"])
            elif "sockets" in message:
                self._given(message, fds)
            elif "failed" in message:
                self._failed(message["failed"], message["error"])
            elif "ready" in message and self._ready is not None:
                self._ready.set_result(None)
            elif "unable" in message and self._ready is not None:
                self._ready.set_exception(Unavailable(message["unable"]))

    def _spawned(self, message: dict[str, Any], fds: list[int]) -> None:
        enclosure, future = self._starting.pop(message["spawned"])
        enclosure.pid, enclosure.pidfd, enclosure.port = message["pid"], fds[0], message["port"]
        if message.get("net"):
            enclosure.network = fds.pop()
        for fd in fds[1:]:
            door = socket.socket(fileno=fd)
            door.setblocking(False)
            enclosure.doors.append(door)
        self._running[enclosure.pid] = enclosure
        self._built[message["builder"]] = (enclosure, future)

    def _failed(self, slot: int, error: str) -> None:
        enclosure, future = self._starting.pop(slot)
        self._dispose(enclosure)
        if not future.done():
            future.set_exception(Unavailable(f"a worker's jail cannot be built: {error}"))

    def _exited(self, pid: int, status: int) -> None:
        if pid in self._built:
            # Only now is the zygote the parent: the worker asks to be killed with its parent.
            enclosure, future = self._built.pop(pid)
            if future.done():
                enclosure.kill()
            else:
                future.set_result(enclosure)
            return
        if pid not in self._running:
            return  # a builder that failed, and said so
        enclosure = self._running.pop(pid)
        enclosure.exited = True
        if enclosure.on_exit is not None:
            enclosure.on_exit(status)
        self._dispose(enclosure)

    def _dispose(self, enclosure: Enclosure) -> None:
        if enclosure.pidfd >= 0:
            os.close(enclosure.pidfd)
            enclosure.pidfd = -1
        if enclosure.network >= 0:
            os.close(enclosure.network)
            enclosure.network = -1
        if enclosure.on_exit is None:  # else its worker's transport owns the socket
            enclosure.control.close()
        for door in enclosure.doors:
            door.close()
        task = asyncio.get_running_loop().create_task(self._release(enclosure))
        self._removals.add(task)
        task.add_done_callback(self._removals.discard)

    async def _release(self, enclosure: Enclosure) -> None:
        """The kernel may count the last process for a moment after its end."""
        for _ in range(100):
            if enclosure.group is None or enclosure.group.remove():
                break
            await asyncio.sleep(0.02)
        self._slots.discard(enclosure.slot)

    def _lost(self, reason: str) -> None:
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        trouble = Unavailable(f"functions cannot run: {reason}")
        if self._ready is not None and not self._ready.done():
            self._ready.set_exception(trouble)
        for enclosure, _ in self._starting.values():
            self._dispose(enclosure)
        for asked in self._asked.values():
            if not asked.done():
                asked.set_exception(trouble)
        for _, future in (*self._starting.values(), *self._built.values()):
            if not future.done():
                future.set_exception(trouble)
        self._starting.clear()
        self._built.clear()
        for pid in list(self._running):
            self._exited(pid, -signal.SIGKILL)
        if self._process is not None:
            self._process.kill()
            self._process.wait()
        self._on_end(reason)

    @property
    def running(self) -> int:
        return len(self._running) + len(self._starting)

    async def stop(self) -> None:
        """End every worker and the zygote; nothing is left behind."""
        for enclosure in list(self._running.values()):
            enclosure.kill()
        async with asyncio.timeout(5):
            while self._running or self._removals:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
        if self._control is not None:
            asyncio.get_running_loop().remove_reader(self._control.fileno())
            self._control.close()
            self._control = None
        if self._process is not None:
            self._process.kill()
            self._process.wait()


def zygote_environment() -> dict[str, str]:
    """Nothing of the operator's: no credentials, profiles or proxies reach the workers' parent."""
    kept = {k: os.environ[k] for k in ("PATH", "PYTHONPATH", "LD_LIBRARY_PATH") if k in os.environ}
    return kept | {
        "LANG": "C.UTF-8",
        "HOME": "/nonexistent",
        "AWS_CONFIG_FILE": "/nonexistent",
        "AWS_SHARED_CREDENTIALS_FILE": "/nonexistent",
        "AWS_EC2_METADATA_DISABLED": "true",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONHASHSEED": "random",
    }
