"""One blob on its way to two disks and more. See ``blobs``."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pileus.engine.cluster.blobs_relay import Relay, flow
from pileus.engine.cluster.placing import COPIES, order
from pileus.engine.embedded.blobs import FileBlobWriter
from pileus.errors import Unavailable

if TYPE_CHECKING:
    from pileus.engine.cluster.blobs import ClusterBlobs

log = logging.getLogger("pileus.engine.blobs")
SMALL_BYTES = 512 * 1024


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
