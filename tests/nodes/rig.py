"""Several nodes in one process: each a directory of blobs, a door on loopback and a client."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.embedded.blobs import FileBlobs, Files
from pileus.nodes.client import STEP_S, Client, Place
from pileus.nodes.door import NodeDoor
from pileus.nodes.peers import NodePeers
from pileus.nodes.tls import client_context, name_of, server_context
from pileus.wire.http import Handler, Server, serve
from tests.nodes.certificates import Authority


@dataclass
class Node:
    """One of them. ``down`` and ``up`` end and open its door; its files stay."""

    name: str
    home: Path
    authority: Authority
    places: dict[str, Place]
    keepers: list[str]
    files: Files = field(default_factory=Files)
    server: Server | None = None
    step_s: float = STEP_S

    async def open(self) -> Node:
        self.local = FileBlobs(self.home / "blobs", self.files)
        self.door = NodeDoor(self.home, self.local, lambda: {"node": self.name})
        self.authority.lay(self.home / "cluster", self.name)
        self.client = Client(client_context(self.home / "cluster"), step_s=self.step_s)
        self.peers = NodePeers(self.name, self.client, self.others, lambda: self.keepers)
        self.blobs = ClusterBlobs(self.local, self.peers)
        await self.up()
        return self

    def others(self) -> list[Place]:
        return [place for name, place in self.places.items() if name != self.name]

    async def up(self, wrap: Callable[[Handler], Handler] = lambda handler: handler) -> None:
        tls = server_context(self.home / "cluster")
        known = self.places.get(self.name)
        where = ("127.0.0.1", known.port if known else 0)
        self.server = await serve(wrap(self.door.serve), where, tls=tls, client=name_of)
        self.places[self.name] = Place(self.name, "127.0.0.1", self.server.port)

    async def down(self) -> None:
        if self.server is not None:
            await self.server.stop(0)
            self.server = None

    def holds(self, digest: str) -> bool:
        return digest in self.local.list()

    async def close(self) -> None:
        await self.blobs.stop()
        self.client.close()
        await self.down()
        self.local.close()


class Nodes:
    """``count`` nodes of one cluster, n1, n2, …"""

    def __init__(
        self,
        home: Path,
        count: int,
        files: dict[str, Files] | None = None,
        step_s: float = STEP_S,
    ) -> None:
        self._home, self._step_s = home, step_s
        self._count = count
        self._files = files or {}
        self.authority = Authority()
        self.all: list[Node] = []
        self.places: dict[str, Place] = {}
        self.keepers: list[str] = []  # who keeps blobs: one list, all see it change

    async def __aenter__(self) -> list[Node]:
        for i in range(1, self._count + 1):
            await self.add(f"n{i}")
        return self.all

    async def add(self, name: str) -> Node:
        files = self._files.get(name) or Files()
        (self._home / name).mkdir(exist_ok=True)
        node = Node(
            *(name, self._home / name, self.authority, self.places, self.keepers, files),
            step_s=self._step_s,
        )
        self.keepers.append(name)
        self.all.append(await node.open())
        return node

    async def __aexit__(self, *_: Any) -> None:
        for node in self.all:
            await node.close()
        self.all.clear()
        self.keepers.clear()


def run(body: Awaitable[None]) -> None:
    """On the loop that serves in production."""
    import asyncio

    import uvloop

    async def inner() -> None:
        await body

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(inner())


class Broken:
    """Lets a door's file answers end early: ``cuts`` times, after ``after`` bytes each."""

    def __init__(self, handler: Handler, cuts: int, after: int) -> None:
        self._handler, self._cuts, self._after = handler, cuts, after
        self.asked: list[str] = []

    async def serve(self, request: Any) -> Any:
        from pileus.services.call import FileBody, HttpResponse

        self.asked.append(request.headers.get("range", ""))
        answer = await self._handler(request)  # type: ignore[misc]
        body = answer.body
        if not isinstance(body, FileBody) or not self._cuts:
            return answer
        self._cuts -= 1

        async def some() -> Any:
            yield os.pread(body.fd, self._after, body.offset)
            os.close(body.fd)

        return HttpResponse(answer.status, answer.headers, some(), body.length)
