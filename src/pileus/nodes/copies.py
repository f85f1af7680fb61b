"""How many copies each shard's log has, and where: as many as there are nodes, up to three.

Turned by the node that does the work for all. One step of a log at a time, and only while all its
copies are current; a step that JetStream refuses (a server that has just come is not ready for some
seconds) is tried again. A node that leaves gives its copies to others first, where there are
others; those of one that has been silent for ``rebuild_after_s`` are made anew elsewhere, unasked.
Of several logs two move at a time; who leads and keeps them is evened out at the end (``leading``).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Any

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats_client import Client
from pileus.engine.cluster.streams import StreamInfo
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.nodes import leading, membership
from pileus.nodes.beats import Beats
from pileus.nodes.leading import Evening, Logs, holders, whole
from pileus.nodes.members import Members
from pileus.nodes.places import Node

log = logging.getLogger("pileus.nodes.copies")
TURN_S = 0.5
CURRENT_S = 1.0
MOVING_MAX = 2  # logs whose copies are made at the same time


class Copies:
    """``client`` of the log's servers; ``system`` connects as their operator."""

    def __init__(
        self,
        store: Any,
        client: Client,
        system: Callable[[], Awaitable[Client]],
        members: Members,
        beats: Beats,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._client = client
        self._system = system
        self._members = members
        self._beats = beats
        self._evening = Evening(client, monotonic)
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
                self._evening.wait()
                if str(error) != said:
                    log.info("the log's copies stay as they are for now: %s", error)
                said = str(error)
            await asyncio.sleep(TURN_S)

    async def turn(self) -> None:
        """One step nearer to what should be."""
        nodes = self._members.cluster.nodes
        staying = [n for n in nodes if n.state in ("member", "draining")]
        wanted = min(streams.REPLICAS, len(staying))
        shards = len(self._store.shards)
        logs = await streams.newest_of(self._client, shards)
        if not logs or not wanted:
            return
        await self._forget_gone(nodes)
        settled = await self._settle(logs, nodes, wanted) and len(logs) == shards
        leaving = next((n.name for n in nodes if n.state == "leaving"), "")
        if shards > 1:
            await self._even(logs, nodes, wanted, settled and not leaving)
            await self._fence_gone(nodes)
        if settled and leaving and self._beats.handed_over(leaving):
            await membership.fence(self._store, leaving)
            await self._store.transact(lambda draft: membership.end_leave(draft, leaving))

    async def _settle(self, logs: Logs, nodes: tuple[Node, ...], wanted: int) -> bool:
        """A step for each log that needs one; whether none does. Why one could not be taken is
        raised when all have had their turn."""
        settled, failed = True, None
        moving = sum(_catches_up(found) for found in logs.values())
        for found in logs.values():
            if moving >= MOVING_MAX and not _catches_up(found):
                settled = False  # its turn comes
                continue
            try:
                if not await self._step(logs, found, nodes, wanted):
                    settled = False
                    moving += not _catches_up(found)
            except Unavailable as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return settled

    async def _step(
        self, logs: Logs, found: StreamInfo, nodes: tuple[Node, ...], wanted: int
    ) -> bool:
        """One log nearer to where it should be; whether it was there."""
        if found.replicas < wanted:
            await self._current(found)
            await self._keep(found, wanted)
            return False
        if any(n.name == found.leader and n.state == "draining" for n in nodes):
            await self._current(found)
            await self._step_down(logs, found, nodes)
            return False
        for node in nodes:
            if node.state == "leaving":
                return await self._leave(node, logs, found, nodes, wanted)
        if await self._replace_lost(nodes, found):
            return False
        if found.replicas > min(streams.REPLICAS, sum(n.present for n in nodes)):
            await self._keep(found, wanted)
            return False
        return True

    async def _current(self, found: StreamInfo) -> None:
        await streams.current(self._client, found.name, found.replicas, CURRENT_S)

    async def _keep(self, found: StreamInfo, wanted: int) -> None:
        await streams.set_replicas(self._client, found.name, wanted)
        log.info("%s is kept on %d nodes", found.name, wanted)

    async def _step_down(self, logs: Logs, found: StreamInfo, nodes: tuple[Node, ...]) -> None:
        await leading.step_down(self._client, logs, found, self._able(nodes))

    def _able(self, nodes: tuple[Node, ...]) -> list[str]:
        """Members that live."""
        names = [n.name for n in nodes if n.state == "member"]
        return [name for name, told in self._beats.judged(names).items() if told.health == "alive"]

    async def _leave(
        self,
        node: Node,
        logs: Logs,
        found: StreamInfo,
        nodes: tuple[Node, ...],
        wanted: int,
    ) -> bool:
        """Give a leaving node's copy to another, or, where there is none, let it end with the node.
        Whether that is done."""
        if node.name in holders(found) and wanted >= found.replicas:
            lives = self._beats.judged([node.name])[node.name].health == "alive"
            if lives:
                await self._current(found)
            if lives and found.leader == node.name:  # moved as it is, it would leave an election
                await self._step_down(logs, found, nodes)
                return False
            await streams.remove_peer(self._client, found.name, node.name)
            log.info("the copy of %s on %s moves to another node", found.name, node.name)
            return False
        if wanted >= found.replicas:
            await self._current(found)
        elif found.leader == node.name:
            await self._step_down(logs, found, nodes)
            return False
        return True

    async def _replace_lost(self, nodes: tuple[Node, ...], found: StreamInfo) -> bool:
        """Give a lost node's copy to one that has none; the others must be whole."""
        lost = next((p.name for p in found.peers if self._members.lost(p.name)), "")
        if not lost or any(not p.current for p in found.peers if p.name != lost):
            return False
        able = [n.name for n in nodes if n.state == "member" and n.name not in holders(found)]
        if all(told.health != "alive" for told in self._beats.judged(able).values()):
            return False
        await streams.remove_peer(self._client, found.name, lost)
        log.warning("%s is silent for too long: its copy of %s is made elsewhere", lost, found.name)
        return True

    async def _even(self, logs: Logs, nodes: tuple[Node, ...], wanted: int, settled: bool) -> None:
        """Even out who leads and keeps the logs, while all is as it should be."""
        present = [n.name for n in nodes if n.present]
        able = self._able(nodes)
        kept = all(whole(found) and found.replicas == wanted for found in logs.values())
        if settled and kept and able == present:
            await self._evening.turn(logs, able)
        else:
            self._evening.wait(able)

    async def _fence_gone(self, nodes: tuple[Node, ...]) -> None:
        """One that was let in and never came went by the first shard's word alone; of one that went
        before there were so many shards the later ones know nothing."""
        for node in nodes:
            if node.state == "gone" and not membership.fenced(self._store, node.name):
                await membership.fence(self._store, node.name)

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


def _catches_up(found: StreamInfo) -> bool:
    """Whether a copy is being made."""
    return any(not p.current and not p.offline for p in found.peers)
