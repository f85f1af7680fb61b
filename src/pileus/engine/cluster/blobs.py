"""Blobs of a cluster: files here and copies on other nodes.

A blob belongs to the three nodes its name ranks first. ``commit`` answers when two disks have it
synced under its name (this node's and one more; one, where there is one node); its other owners get
it behind. This node keeps what it took in, owner or not: the scrub drops it when all owners have
it. See DESIGN.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, Protocol

from pileus.engine.cluster.blobs_relay import Relay, flow
from pileus.engine.cluster.placing import COPIES, SYNCED, order
from pileus.engine.embedded.blobs import FileBlobs, FileBlobWriter
from pileus.errors import Unavailable, WrongDigest

log = logging.getLogger("pileus.engine.blobs")
SMALL_BYTES = 512 * 1024
BEHIND_MAX = 4  # blobs sent behind at once
BEHIND_TASKS_MAX = 64  # each may hold a small blob's bytes


class Peers(Protocol):
    """The other nodes, as blobs need them. What cannot be done now raises ``Unavailable``."""

    name: str  # this node's

    def members(self) -> Sequence[str]:
        """Every node that keeps blobs, this one too unless it leaves."""
        ...

    def others(self) -> Sequence[str]:
        """Every other node, whether it keeps blobs or does not yet, or no more."""
        ...

    def live(self) -> Sequence[str]:
        """Those of them that seem to answer."""
        ...

    async def put(self, node: str, digest: str, body: bytes | AsyncIterator[bytes]) -> None:
        """``node`` has the blob synced. ``digest`` "": it follows the bytes, 32 more."""
        ...

    def get(self, node: str, digest: str) -> AsyncIterator[bytes]:
        """Its bytes there; ``FileNotFoundError`` when ``node`` has none."""
        ...

    async def has(self, node: str, digest: str) -> bool: ...


class ClusterBlobs:
    """See ``pileus.engine.Blobs``. ``local`` is this node's directory; several processes of a node
    may each have a ``ClusterBlobs`` over it."""

    def __init__(self, local: FileBlobs, peers: Peers) -> None:
        self.local = local
        self.peers = peers
        self.open, self.size, self.path = local.open, local.size, local.path
        self.list, self.delete, self.sweep = local.list, local.delete, local.sweep
        self._behind: set[asyncio.Task[Any]] = set()
        self._sending = asyncio.Semaphore(BEHIND_MAX)
        self._coming: dict[str, asyncio.Task[None]] = {}

    def owners(self, digest: str) -> list[str]:
        return order(digest, self.peers.members())[:COPIES]

    def ranked(self, digest: str) -> list[str]:
        """The other nodes, best place first: owners and keepers that answer, then the rest."""
        keepers, live = set(self.peers.members()), set(self.peers.live())
        others = order(digest, self.peers.others())
        return sorted(others, key=lambda node: (node not in live, node not in keepers))

    def needed(self) -> int:
        """Disks that must have a blob before its writer is answered."""
        return min(SYNCED, len({self.peers.name, *self.peers.members()}))

    # -- writing ---------------------------------------------------------------------------
    def create(self, *, hashed: bool = True) -> ClusterBlobWriter:
        return ClusterBlobWriter(self, self.local.create(hashed=hashed))

    async def put(self, data: bytes) -> str:
        writer = self.create()
        await writer.write(data)
        return await writer.commit()

    async def send(self, node: str, digest: str) -> None:
        """Copy a blob from here to ``node``."""
        await self.peers.put(node, digest, self.local.read(digest))

    def behind(self, work: Coroutine[Any, Any, Any] | asyncio.Task[Any]) -> None:
        """Nobody waits for ``work``; the scrub does what fails, or what is too much."""
        task = asyncio.ensure_future(work)
        if len(self._behind) >= BEHIND_TASKS_MAX:
            task.cancel()
        self._behind.add(task)
        task.add_done_callback(self._told)

    def _told(self, task: asyncio.Task[Any]) -> None:
        self._behind.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.info("a copy is left to the scrub: %s", task.exception())

    async def send_behind(self, node: str, digest: str) -> None:
        async with self._sending:
            await self.send(node, digest)

    async def settle(self) -> None:
        """Until what is under way behind has ended."""
        while self._behind:
            await asyncio.wait(tuple(self._behind))

    async def stop(self) -> None:
        """Give up what nobody waits for."""
        tasks = [*self._behind, *self._coming.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # -- reading ---------------------------------------------------------------------------
    async def read(self, digest: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        try:
            self.size(digest)
        except FileNotFoundError:
            await self.fetch(digest)
        async for piece in self.local.read(digest, offset, length):
            yield piece

    async def fetch(self, digest: str) -> None:
        """Bring a blob from an owner, or whoever has it, checked while it comes."""
        if os.path.exists(self.path(digest)):  # FileNotFoundError for what is no digest
            return
        task = self._coming.get(digest)
        if task is None:
            task = self._coming[digest] = asyncio.ensure_future(self._bring(digest))
            task.add_done_callback(lambda done: self._come(digest, done))
        await asyncio.shield(task)

    def _come(self, digest: str, task: asyncio.Task[None]) -> None:
        del self._coming[digest]
        if not task.cancelled() and task.exception() is not None:
            log.warning("%s", task.exception())

    async def _bring(self, digest: str) -> None:
        reasons = []
        for node in self.ranked(digest):
            try:
                return await self._copy_from(node, digest)
            except FileNotFoundError:
                reasons.append(f"{node} has none")
            except WrongDigest:
                log.warning("%s holds wrong bytes as blob %s", node, digest)
                reasons.append(f"{node} has wrong bytes")
            except Unavailable as e:
                reasons.append(str(e))
        raise Unavailable(
            f"blob {digest} cannot be brought here: {'; '.join(reasons) or 'no other node'}",
            "start the nodes that are down; `pileus verify` lists what is missing",
        )

    async def _copy_from(self, node: str, digest: str) -> None:
        writer = self.local.create()
        try:
            async with contextlib.aclosing(self.peers.get(node, digest)) as pieces:  # type: ignore[type-var]
                async for piece in pieces:
                    await writer.write(piece)
            await writer.commit(digest)
        except BaseException:
            await writer.abort()
            raise

    async def mend(self, digest: str) -> bool:
        loop = asyncio.get_running_loop()
        try:
            if await loop.run_in_executor(self.local.threads, self.local.matches, digest):
                return True
            await self.replace(digest)
        except FileNotFoundError:  # set aside a moment ago, by another reader
            await self.fetch(digest)
        return True

    async def replace(self, digest: str) -> None:
        """The bytes here are wrong: away with them, and bring the right ones."""
        log.error("blob %s has changed on the disk; it is brought from another node", digest)
        await asyncio.get_running_loop().run_in_executor(
            self.local.threads, self.local.set_aside, digest
        )
        await self.fetch(digest)


class ClusterBlobWriter:
    """One blob being written, here and, as soon as it is not small, to other nodes at once."""

    def __init__(self, blobs: ClusterBlobs, inner: FileBlobWriter) -> None:
        self._blobs = blobs
        self._inner = inner
        self._small: list[bytes] | None = []
        self._relays: list[Relay] = []
        self._patience_s = 0.5  # left to wait for slow relays while another keeps up

    @property
    def size(self) -> int:
        return self._inner.size

    async def write(self, chunk: bytes) -> None:
        if self._small is not None:
            self._small.append(chunk)
            if self._inner.size + len(chunk) > SMALL_BYTES:
                self._open_relays(self._small)
                self._small = None
        else:
            for relay in self._relays:
                relay.push(chunk)
        await self._inner.write(chunk)
        if self._relays:
            self._patience_s = await flow(self._relays, self._patience_s)

    def _open_relays(self, chunks: list[bytes]) -> None:
        """The owners are not known before the last byte: with three nodes all are, with more two
        are as good as any, and owners get their copies behind."""
        members, live = self._blobs.peers.members(), self._blobs.peers.live()
        token = self._inner.token
        for node in order(token, (n for n in live if n in members))[: COPIES - 1]:
            relay = Relay(self._blobs.peers, node)
            self._relays.append(relay)
            for chunk in chunks:
                relay.push(chunk)

    async def commit(self, digest: str = "") -> str:
        try:
            name = await self._inner.seal(digest)
            await self._copy(name)
        except BaseException:
            self._cut()
            raise
        return name

    async def _copy(self, name: str) -> None:
        """Two disks have it when this returns; the copies of other owners are under way."""
        me, needed = self._blobs.peers.name, self._blobs.needed()
        here = asyncio.ensure_future(self._inner.commit(name))
        sent = self._first_copies(name)
        have: set[str] = set()
        try:
            await _until({**sent, here: me}, have, needed)
            await here  # its failure is the writer's
            for node in self._blobs.ranked(name):
                if len(have) >= needed:
                    break
                if node not in have:  # those that failed, too: once more, from the file
                    task = asyncio.ensure_future(self._blobs.send(node, name))
                    sent[task] = node
                    await _until({task: node}, have, needed)
        except BaseException:
            for task in sent:
                task.cancel()
            raise
        if len(have) < needed:
            raise Unavailable(
                "no second node could take a copy of the bytes",
                "start the nodes that are down (`pileus nodes`), or look at their disks",
            )
        under_way = {node for task, node in sent.items() if not task.done()}
        for task in sent:
            if not task.done():
                self._blobs.behind(task)
        live = set(self._blobs.peers.live())
        for node in self._blobs.owners(name):
            if node in live and node not in have | under_way:
                self._blobs.behind(self._blobs.send_behind(node, name))

    def _first_copies(self, name: str) -> dict[asyncio.Task[Any], str]:
        """What was relayed, or for a small blob its bytes to its owners."""
        if self._small is None:
            for relay in self._relays:
                relay.finish(bytes.fromhex(name))
            return {relay.task: relay.node for relay in self._relays}
        data = b"".join(self._small)
        peers, live = self._blobs.peers, set(self._blobs.peers.live())
        owners = [n for n in self._blobs.owners(name) if n in live]
        return {asyncio.ensure_future(peers.put(n, name, data)): n for n in owners}

    async def abort(self) -> None:
        self._cut()
        await self._inner.abort()

    def _cut(self) -> None:
        for relay in self._relays:
            relay.cut()


async def _until(tasks: Mapping[asyncio.Task[Any], str], have: set[str], needed: int) -> None:
    """Note in ``have`` whose copy is done until ``needed`` are, or nothing is under way."""
    left = dict(tasks)
    while left and len(have) < needed:
        done, _ = await asyncio.wait(left, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            node = left.pop(task)
            failure = asyncio.CancelledError() if task.cancelled() else task.exception()
            if failure is None:
                have.add(node)
            else:
                log.warning("no copy on %s: %s", node, failure)
