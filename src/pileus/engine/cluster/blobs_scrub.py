"""The slow walk that keeps copies true and where they belong. Each node checks its own files.

Named blobs this node should have and lacks are fetched (every few minutes, and soon after a node
came or went). Every file is read through in a day, at a bounded rate: wrong bytes are replaced
from another node; what belongs to others is dropped an hour after it was written, once all its
owners have it. Blobs no row names are the collector's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.scrub")
RATE_BYTES_S = 10 * 1024 * 1024
NAMES_S, FILES_S, TURN_S = 300.0, 86_400.0, 5.0
SPARE_S = 3600.0
PAGE = 200
AT_ONCE = 8
DUTY = 9.0  # a walk over names rests nine times as long as it looks


@dataclass
class Counts:
    """What was done since the start."""

    checked: int = 0
    checked_bytes: int = 0
    mended: int = 0
    fetched: int = 0
    dropped: int = 0
    missing: int = 0  # in the last walk over names: owned, lacking, nowhere to be had
    walks: int = 0
    left: int = -1  # named blobs here that some owner still lacks; -1: not looked, not leaving


class Scrub:
    """``start`` in one process of a node. ``named(after, limit)``: digests that rows name, in
    order; ``is_named``: whether any row names this one."""

    def __init__(
        self,
        blobs: ClusterBlobs,
        named: Callable[[str, int], Sequence[str]],
        is_named: Callable[[str], bool],
        *,
        rate_bytes_s: float = RATE_BYTES_S,
        spare_s: float = SPARE_S,
    ) -> None:
        self._blobs = blobs
        self._named, self._is_named = named, is_named
        self._rate, self._spare_s = rate_bytes_s, spare_s
        self.counts = Counts()
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self) -> None:
        self._tasks = [asyncio.ensure_future(t) for t in (self._keep_names(), self._keep_files())]

    async def stop(self) -> None:
        self._stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep_names(self) -> None:
        known: tuple[Sequence[str], ...] = ()
        due = 0.0
        while True:
            peers = self._blobs.peers
            now = (sorted(peers.members()), sorted(peers.live()))
            if now != known or time.monotonic() >= due:
                known, due = now, time.monotonic() + NAMES_S
                await self._try(self.walk_names)
            if peers.name not in peers.members():
                await self._try(self.hand_over)
            await asyncio.sleep(TURN_S)

    async def _keep_files(self) -> None:
        at = os.urandom(1).hex()  # anywhere: a node that restarts often must not begin at one end
        while True:
            began = time.monotonic()
            await self._try(partial(self.walk_files, at))
            at = ""
            await asyncio.sleep(max(FILES_S - (time.monotonic() - began), TURN_S))

    @staticmethod
    async def _try(walk: Callable[[], object]) -> None:
        try:
            await walk()  # type: ignore[misc]
        except (OSError, Unavailable) as e:
            log.error("the scrub will try again: %s", e)

    # -- names: what should be here ----------------------------------------------------------
    async def walk_names(self) -> int:
        """Fetch named blobs this node owns and lacks; answers how many came."""
        me, after, came, missing = self._blobs.peers.name, "", 0, 0
        while page := self._named(after, PAGE):
            began = time.monotonic()
            after = page[-1]
            lacking = [d for d in page if not self._here(d) and me in self._blobs.owners(d)]
            pause_s = DUTY * (time.monotonic() - began)
            for done in await in_batches(self._fetched, lacking):
                came += done
                missing += not done
            await asyncio.sleep(pause_s)
        self.counts.fetched += came
        self.counts.missing = missing
        self.counts.walks += 1
        return came

    async def _fetched(self, digest: str) -> bool:
        try:
            await self._blobs.fetch(digest)
        except Unavailable:  # told by who fetched
            return False
        return True

    def _here(self, digest: str) -> bool:
        return os.path.exists(self._blobs.path(digest))

    async def hand_over(self) -> int:
        """This node keeps blobs no more: bring every named one to the owners that lack it. Answers
        how many are not yet with all of them; at 0 the node may go."""
        after, left = "", 0
        while page := await asyncio.to_thread(self._blobs.local.some, after, PAGE):
            after = page[-1]
            done = await in_batches(self._given, [d for d in page if self._is_named(d)])
            left += done.count(False)
        self.counts.left = left
        return left

    async def _given(self, digest: str) -> bool:
        try:
            for node in self._blobs.owners(digest):
                if not await self._blobs.peers.has(node, digest):
                    await self._blobs.send(node, digest)
        except (Unavailable, FileNotFoundError) as e:
            log.info("blob %s is not handed over yet: %s", digest, e)
            return False
        return True

    # -- files: what is here -----------------------------------------------------------------
    async def walk_files(self, after: str = "") -> None:
        """Read through every file above ``after``, mend, let go of what others keep."""
        local = self._blobs.local
        while page := await asyncio.to_thread(local.some, after, PAGE):
            after = page[-1]
            for digest in page:
                try:
                    await self._look_at(digest)
                except FileNotFoundError:
                    continue  # collected meanwhile
                except Unavailable as e:
                    log.warning("blob %s: %s", digest, e)

    async def _look_at(self, digest: str) -> None:
        right = await asyncio.to_thread(self._blobs.local.matches, digest, self._pause)
        self.counts.checked += 1
        if not right:
            await self._blobs.replace(digest)
            self.counts.mended += 1
        owners = self._blobs.owners(digest)
        if self._blobs.peers.name in owners or not self._is_named(digest):
            return
        for node in owners:
            if not await self._blobs.peers.has(node, digest):
                return
        self.counts.dropped += await self._blobs.local.delete(digest, self._spare_s)

    def _pause(self, size: int) -> None:
        """On the reading thread: hold the rate."""
        if self._stopping:
            raise InterruptedError("the scrub stops")
        self.counts.checked_bytes += size
        time.sleep(size / self._rate)


async def in_batches(work: Callable[[str], Awaitable[bool]], digests: Sequence[str]) -> list[bool]:
    """``work`` on each, a few at once."""
    done: list[bool] = []
    for at in range(0, len(digests), AT_ONCE):
        done += await asyncio.gather(*(work(d) for d in digests[at : at + AT_ONCE]))
    return done
