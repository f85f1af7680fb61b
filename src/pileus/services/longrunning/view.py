"""What a front process knows of the copies: who is healthy, how busy, with which connections.

The runtime tells changes as they happen; how busy a copy is each front process knows of itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.longrunning_link import Link
from pileus.services.http_wire import CHUNK, Wire

REPORT_S = 20.0
AGAIN_S = 0.05
IDLE_S, IDLE_MAX = 15.0, 16  # kept connections of a copy
SOCKETS_BATCH = 8
CONNECT_S = 1.0  # to another node
LOOK_S = 0.1  # other nodes' news come by rows


class Target:
    """One copy to send requests to."""

    def __init__(self, id_: str, link: Link) -> None:
        self.id = id_
        self.failures = 0
        self.active = 0
        self.gone = False
        self.elsewhere = False
        self._link = link
        self._port = 0
        self._stock: deque[socket.socket] = deque()
        self._idle: deque[Wire] = deque()

    async def connect(self) -> Wire:
        """A connection to the copy, kept or new. Raises ``OSError`` or ``Unavailable``."""
        kept = self._kept()
        if kept is not None:
            return kept
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

    def _kept(self) -> Wire | None:
        while self._idle:
            wire = self._idle.pop()
            if wire.fresh(IDLE_S):
                return wire
            wire.close()
        return None

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


class NodeTarget(Target):
    """Another node's front processes, which know their own copies."""

    def __init__(self, node: str, place: tuple[str, int], link: Link) -> None:
        super().__init__(node, link)
        self.elsewhere = True
        self._place = place

    async def connect(self) -> Wire:
        kept = self._kept()
        if kept is not None:
            return kept
        async with asyncio.timeout(CONNECT_S):
            reader, writer = await asyncio.open_connection(*self._place, limit=CHUNK)
        return Wire(reader, writer)


class View:
    """``wait`` answers where a service can be asked; it looks from its first use on. ``others``
    tells the nodes that saw healthy copies of a service, and where they are."""

    def __init__(
        self, runtime: Any, link: Link, others: Callable[[str], dict[str, tuple[str, int]]]
    ) -> None:
        self._runtime = runtime
        self._link = link
        self._others = others
        self._nodes: dict[tuple[str, str], NodeTarget] = {}
        self._targets: dict[str, list[Target]] = {}
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def targets(self, name: str, here_only: bool = False) -> list[Target]:
        """Healthy copies, least busy first, those whose health is in doubt last; other nodes where
        this one has none."""
        found = self._targets.get(name, [])
        if found or here_only:
            return sorted(found, key=lambda t: (t.failures > 0, t.active))
        return sorted(self._elsewhere(name), key=lambda t: t.active)

    def _elsewhere(self, name: str) -> list[NodeTarget]:
        known = []
        for node, place in self._others(name).items():
            key = (node, f"{place}")
            if key not in self._nodes:
                self._nodes[key] = NodeTarget(node, place, self._link)
            known.append(self._nodes[key])
        return known

    async def wait(self, name: str, deadline: float, here_only: bool = False) -> list[Target]:
        """The same, waiting until ``deadline`` (of the loop's clock) for the first healthy one."""
        if self._task is None:
            self._task = asyncio.create_task(self._watch(), name="services-view")
            await asyncio.sleep(0)
        loop = asyncio.get_running_loop()
        while not (found := self.targets(name, here_only)) and loop.time() < deadline:
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(min(deadline, loop.time() + LOOK_S)):
                    await self._changed.wait()
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
