"""How many copies the log has, and where: as many as there are nodes, up to three.

Turned by the node that does the work for all. One step at a time, and only while all copies are
current; a step that JetStream refuses (a server that has just come is not ready for some seconds)
is tried again. A node that leaves gives its copy to another first, where there is another; the
copy of one that has been silent for ``rebuild_after_s`` is made anew on another, unasked.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats_client import Client
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.nodes import membership
from pileus.nodes.beats import Beats
from pileus.nodes.members import Members
from pileus.nodes.places import Node

log = logging.getLogger("pileus.nodes.copies")
TURN_S = 0.5
CURRENT_S = 1.0


class Copies:
    """``client`` of the log's servers; ``system`` connects as their operator."""

    def __init__(
        self,
        store: Any,
        client: Client,
        system: Callable[[], Awaitable[Client]],
        members: Members,
        beats: Beats,
        shard: int = 0,
    ) -> None:
        self._store = store
        self._client = client
        self._system = system
        self._members = members
        self._beats = beats
        self._shard = shard
        self._removed: set[str] = set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="copies")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        said = ""
        while True:
            try:
                await self.turn()
                said = ""
            except (Unavailable, Conflict, AwsError) as error:
                if str(error) != said:
                    log.info("the log's copies stay as they are for now: %s", error)
                said = str(error)
            await asyncio.sleep(TURN_S)

    async def turn(self) -> None:
        """One step nearer to what should be."""
        nodes = self._members.cluster.nodes
        staying = [n for n in nodes if n.state in ("member", "draining")]
        wanted = min(streams.REPLICAS, len(staying))
        found = await streams.newest(self._client, self._shard)
        if found is None or not wanted:
            return
        await self._forget_gone(nodes)
        if found.replicas < wanted:
            await streams.current(self._client, found.name, found.replicas, CURRENT_S)
            await streams.set_replicas(self._client, found.name, wanted)
            log.info("the log is kept on %d nodes", wanted)
            return
        if any(n.name == found.leader and n.state == "draining" for n in nodes):
            await streams.current(self._client, found.name, found.replicas, CURRENT_S)
            await streams.step_down(self._client, found.name)
        for node in nodes:
            if node.state == "leaving":
                await self._leave(node, found, wanted)
                return
        if await self._replace_lost(nodes, found):
            return
        if found.replicas > min(streams.REPLICAS, sum(n.present for n in nodes)):
            await streams.set_replicas(self._client, found.name, wanted)
            log.info("the log is kept on %d nodes", wanted)

    async def _leave(self, node: Node, found: streams.StreamInfo, wanted: int) -> None:
        """Give a leaving node's copy to another, or, where there is none, end it with the node. It
        is gone when it has handed over its blobs too."""
        holders = {found.leader, *(p.name for p in found.peers)}
        if node.name in holders and wanted >= found.replicas:
            lives = self._beats.judged([node.name])[node.name].health == "alive"
            if lives:
                await streams.current(self._client, found.name, found.replicas, CURRENT_S)
            if lives and found.leader == node.name:  # moved as it is, it would leave an election
                await streams.step_down(self._client, found.name)
                return
            await streams.remove_peer(self._client, found.name, node.name)
            log.info("the log's copy of %s moves to another node", node.name)
            return
        if wanted >= found.replicas:
            await streams.current(self._client, found.name, found.replicas, CURRENT_S)
        elif found.leader == node.name:
            await streams.step_down(self._client, found.name)
            return
        if not self._beats.handed_over(node.name):
            return
        await self._store.transact(lambda draft: membership.end_leave(draft, node.name))

    async def _replace_lost(self, nodes: tuple[Node, ...], found: streams.StreamInfo) -> bool:
        """Give a lost node's copy to one that has none; the others must be whole."""
        lost = next((p.name for p in found.peers if self._members.lost(p.name)), "")
        if not lost or any(not p.current for p in found.peers if p.name != lost):
            return False
        holders = {found.leader, *(p.name for p in found.peers)}
        able = [n.name for n in nodes if n.state == "member" and n.name not in holders]
        if all(told.health != "alive" for told in self._beats.judged(able).values()):
            return False
        await streams.remove_peer(self._client, found.name, lost)
        log.warning("%s is silent for too long: its copy of the log is made on another node", lost)
        return True

    async def _forget_gone(self, nodes: tuple[Node, ...]) -> None:
        """Servers of nodes that are gone leave the cluster of servers, once they are silent."""
        for node in nodes:
            if node.state != "gone" or node.name in self._removed:
                continue
            if self._beats.judged([node.name])[node.name].health != "down":
                continue
            system = await self._system()
            try:
                await streams.remove_server(system, node.name)
                log.info("the log's servers forget %s", node.name)
            except streams.ApiError as error:
                log.info("the log's servers know no %s: %s", node.name, error)
            finally:
                await system.close()
            self._removed.add(node.name)
