"""TCP ports of the machine that lead to long-running services: bytes in, bytes out.

A connection goes to the healthy copy that holds the fewest. Only whole connections are balanced;
what is spoken on them is not looked at.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from pileus.errors import Unavailable
from pileus.runtime.longrunning_copy import Copy
from pileus.runtime.relay import Half, join

RETRY_S = 2.0
CONNECTIONS_MAX = 2048  # of one port
logger = logging.getLogger("pileus.runtime.services")


class Ports:
    """``wish`` says which service has which port. ``troubles`` tells what cannot be opened."""

    def __init__(self, bind: str, healthy: Callable[[str], list[Copy]]) -> None:
        self._bind = bind
        self._healthy = healthy
        self._wished: dict[str, int] = {}
        self._open: dict[str, tuple[int, asyncio.Server]] = {}
        self._held: dict[str, int] = {}  # connections by copy
        self._tasks: set[asyncio.Task[None]] = set()
        self._opener: asyncio.Task[None] | None = None
        self.troubles: dict[str, str] = {}

    def wish(self, ports: dict[str, int]) -> None:
        """Ports by service name."""
        self._wished = ports
        if self._opener is None or self._opener.done():
            self._opener = asyncio.get_running_loop().create_task(self._settle())

    async def _settle(self) -> None:
        while True:
            for name, (port, server) in list(self._open.items()):
                if self._wished.get(name) != port:
                    del self._open[name]
                    server.close()
            for name, port in list(self._wished.items()):
                if name not in self._open:
                    await self._listen(name, port)
            self.troubles = {n: t for n, t in self.troubles.items() if n in self._wished}
            if not self.troubles:
                return
            await asyncio.sleep(RETRY_S)

    async def _listen(self, name: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            server = await loop.create_server(
                lambda: self._accept(name), self._bind, port, reuse_address=True
            )
        except OSError as e:
            text = f"port {port} on {self._bind} cannot be used: {e.strerror or e}"
            if self.troubles.get(name) != text:
                logger.error("service %s: %s", name, text)
            self.troubles[name] = text
            return
        self.troubles.pop(name, None)
        self._open[name] = (port, server)

    def _accept(self, name: str) -> Half:
        near = Half()
        task = asyncio.get_running_loop().create_task(self._connect(name, near))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return near

    async def _connect(self, name: str, near: Half) -> None:
        copies = sorted(self._healthy(name), key=lambda c: (c.failures, self._held.get(c.id, 0)))
        if sum(self._held.get(c.id, 0) for c in copies) >= CONNECTIONS_MAX:
            copies = []
        for copy in copies:
            try:
                sock = await copy.socket()
            except (OSError, Unavailable):
                continue
            await self._join(near, copy.id, sock)
            return
        if near.transport is not None:
            near.transport.abort()

    async def _join(self, near: Half, id_: str, sock: socket.socket) -> None:
        far = Half()
        self._held[id_] = self._held.get(id_, 0) + 1
        far.on_closed = lambda: self._left(id_)
        await asyncio.get_running_loop().create_connection(lambda: far, sock=sock)
        join(near, far)

    def _left(self, id_: str) -> None:
        self._held[id_] -= 1
        if not self._held[id_]:
            del self._held[id_]

    async def close(self) -> None:
        if self._opener is not None:
            self._opener.cancel()
        for _, server in self._open.values():
            server.close()
        for task in list(self._tasks):
            task.cancel()
