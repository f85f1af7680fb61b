"""What a front process knows of the copies: who is healthy, how busy, with which connections.

The runtime tells changes as they happen; how busy a copy is each front process knows of itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.longrunning_link import Link
from pileus.services.outbound import CHUNK, Wire

REPORT_S = 20.0
AGAIN_S = 0.05
IDLE_S, IDLE_MAX = 15.0, 16  # kept connections of a copy
SOCKETS_BATCH = 8


class Target:
    """One copy to send requests to."""

    def __init__(self, id_: str, link: Link) -> None:
        self.id = id_
        self.failures = 0
        self.active = 0
        self.gone = False
        self._link = link
        self._port = 0
        self._stock: deque[socket.socket] = deque()
        self._idle: deque[Wire] = deque()

    async def connect(self) -> Wire:
        """A connection to the copy, kept or new. Raises ``OSError`` or ``Unavailable``."""
        while self._idle:
            wire = self._idle.pop()
            fresh = time.monotonic() - wire.idle_since < IDLE_S
            if fresh and not wire.reader.at_eof() and not wire.writer.is_closing():
                return wire
            wire.close()
        if not self._stock:
            self._port, made = await self._link.sockets(self.id, SOCKETS_BATCH)
            self._stock.extend(made)
        sock = self._stock.popleft()
        sock.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self._port))
            reader, writer = await asyncio.open_connection(sock=sock, limit=CHUNK)
        except BaseException:
            sock.close()
            raise
        return Wire(reader, writer)

    def keep(self, wire: Wire) -> None:
        """The connection is at the end of an answer and may serve again."""
        if self.gone or len(self._idle) >= IDLE_MAX:
            wire.close()
            return
        wire.idle_since = time.monotonic()
        self._idle.append(wire)

    def leave(self) -> None:
        """The copy takes no new requests: let go of what is not in use."""
        self.gone = True
        while self._idle:
            self._idle.pop().close()
        while self._stock:
            self._stock.pop().close()


class View:
    """``targets`` answers the healthy copies of a service; it looks from its first use on."""

    def __init__(self, runtime: Any, link: Link) -> None:
        self._runtime = runtime
        self._link = link
        self._targets: dict[str, list[Target]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def targets(self, name: str) -> list[Target]:
        """Healthy copies, least busy first; those whose health is in doubt last."""
        found = self._targets.get(name, [])
        return sorted(found, key=lambda t: (t.failures > 0, t.active))

    async def wait(self, name: str, deadline: float) -> list[Target]:
        """The same, waiting until ``deadline`` (of the loop's clock) for the first healthy one."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="services-view")
        while not (found := self.targets(name)):
            self._changed.clear()
            try:
                async with asyncio.timeout_at(deadline):
                    await self._changed.wait()
            except TimeoutError:
                return []
        return found

    async def _watch(self) -> None:
        boot, serial = "", 0
        while True:
            try:
                report = await self._runtime.report(boot, serial, -1, REPORT_S)
            except Unavailable:
                self._take([])
                await asyncio.sleep(AGAIN_S)
                continue
            boot, serial = report.boot, report.serial
            self._take(report.services)

    def _take(self, services: list[dict[str, Any]]) -> None:
        known = {t.id: t for targets in self._targets.values() for t in targets}
        fresh: dict[str, list[Target]] = {}
        for service in services:
            for copy in service["copies"]:
                if copy["state"] == "HEALTHY" and not service["ending"]:
                    target = known.pop(copy["id"], None) or Target(copy["id"], self._link)
                    target.failures = copy["failures"]
                    fresh.setdefault(service["name"], []).append(target)
        for target in known.values():
            target.leave()
        self._targets = fresh
        self._changed.set()

    async def close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        self._take([])
        self._link.close()
