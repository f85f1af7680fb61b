"""Blobs of a cluster: files here and copies on other nodes.

A blob belongs to the three nodes its name ranks first. ``commit`` answers when two disks have it
synced under its name (this node's and one more; one, where there is one node); its other owners get
it behind. This node keeps what it took in, owner or not: the scrub drops it when all owners have
it. See DESIGN.md.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import Any, Protocol

from pileus.engine.cluster.blobs_writer import ClusterBlobWriter
from pileus.engine.cluster.placing import COPIES, SYNCED, order
from pileus.engine.embedded.blobs import CHUNK_BYTES, FileBlobs, Made, made
from pileus.errors import Unavailable, WrongDigest

log = logging.getLogger("pileus.engine.blobs")
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

    async def put(self, data: Made, check: Callable[[], None] | None = None) -> str:
        body = await asyncio.to_thread(made, data) if callable(data) else data
        if check is not None:
            await asyncio.to_thread(check)
        writer = self.create()
        await writer.write(body)
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
        """See ``Blobs.read``. A blob read whole is compared with its name: wrong bytes of a short
        one are mended before anybody sees them, of a long one its end is ``Unavailable``, and the
        next read finds it mended. Of a range nothing can be said."""
        try:
            size = self.size(digest)
        except FileNotFoundError:
            await self.fetch(digest)
            size = self.size(digest)
        if offset or 0 <= length < size:
            pieces = self.local.read(digest, offset, length)
        else:
            pieces = self._short(digest) if size <= CHUNK_BYTES else self._long(digest)
        async for piece in pieces:
            yield piece

    async def _short(self, digest: str) -> AsyncIterator[bytes]:
        data = b"".join([piece async for piece in self.local.read(digest)])
        if hashlib.sha256(data).hexdigest() != digest:
            await self.mend(digest)
            data = b"".join([piece async for piece in self.local.read(digest)])
        if data:
            yield data

    async def _long(self, digest: str) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        found, held = hashlib.sha256(), b""
        async for piece in self.local.read(digest):
            await loop.run_in_executor(self.local.threads, found.update, piece)
            if held:
                yield held
            held = piece
        if found.hexdigest() != digest:
            await self.mend(digest)
            raise Unavailable(f"blob {digest} was damaged on the disk; it is mended", "read again")
        yield held

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
