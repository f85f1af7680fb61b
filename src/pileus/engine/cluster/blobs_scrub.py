"""The slow walk that keeps copies true and where they belong. Each node checks its own files.

Named blobs this node should have and lacks are fetched (every few minutes, and soon after a node
came or went: a move, see ``blobs_moving``). Every file is read through in a day, at a bounded rate:
wrong bytes are replaced from another node; what belongs to others is dropped an hour after it was
written, once all its owners have it. Blobs no row names are the collector's.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.cluster.blobs_moving import PAGE, Letting, Move, in_batches, now_ms, owned
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.scrub")
RATE_BYTES_S = 10 * 1024 * 1024
NAMES_S, FILES_S, TURN_S = 300.0, 86_400.0, 5.0
SOON_S = 5.0  # after a blob could not be taken in
LATE_S = 15.0  # after a node came: for what was uploaded before all others knew of it
SPARE_S = 3600.0
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
    moved_bytes: int = 0  # fetched, or given away by a node that leaves
    left: int = -1  # named blobs here that some owner still lacks; -1: not looked, not leaving


class Scrub:
    """``start`` in one process of a node. ``named(after, limit)``: digests that rows name, in
    order; ``is_named``: whether any row names this one. ``moved(move)`` is told of each move that
    has ended here; ``kept``: the keepers when the last one did ([]: never). ``refused()``: how many
    blobs others brought this node could not take in (its disk was full)."""

    def __init__(
        self,
        blobs: ClusterBlobs,
        named: Callable[[str, int], Sequence[str]],
        is_named: Callable[[str], bool],
        *,
        rate_bytes_s: float = RATE_BYTES_S,
        spare_s: float = SPARE_S,
        moved: Callable[[Move], Awaitable[None]] | None = None,
        kept: Sequence[str] = (),
        refused: Callable[[], int] = lambda: 0,
    ) -> None:
        self._blobs = blobs
        self._refused = refused
        self._letting = Letting(blobs, is_named, spare_s)
        self._moved, self._kept = moved, list(kept)
        self.move: Move | None = None  # under way, or the last one
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
        due, refused, lacks = 0.0, 0, False
        while True:
            if self._refused() != refused:
                refused, lacks, due = self._refused(), True, min(due, time.monotonic() + SOON_S)
            peers = self._blobs.peers
            now = (sorted(peers.members()), sorted(peers.live()))
            self._begin_move(now[0])
            again = self.moving and self.counts.missing > 0
            changed = now != known
            if changed or again or time.monotonic() >= due:
                known = now
                await self._try(self.walk_names)
                lacks = lacks and self.counts.missing > 0
                due = time.monotonic() + (SOON_S if lacks else LATE_S if changed else NAMES_S)
            if peers.name not in now[0]:
                await self._try(self.hand_over)
            elif self.moving:
                await self._try(self.go_on)
            await asyncio.sleep(TURN_S)

    @property
    def moving(self) -> bool:
        return self.move is not None and not self.move.ended_ms

    def _begin_move(self, keepers: list[str]) -> None:
        if keepers != self._kept:
            self._kept, self.move = keepers, Move(keepers, now_ms())

    async def go_on(self) -> None:
        """Let go of what has become others'; the move has ended here when all have what they
        own."""
        move = self.move
        assert move is not None
        lacking = await self._letting.walk(move)
        if self.counts.missing or lacking:
            move.left = self.counts.missing + lacking
            return
        await self._end_move(move)

    async def _end_move(self, move: Move) -> None:
        ended_ms = now_ms()
        if self._moved is not None:
            await self._moved(replace(move, left=0, ended_ms=ended_ms))
        move.left, move.ended_ms = 0, ended_ms
        self.counts.dropped += move.dropped

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
        if self.moving:
            await self._look_ahead()
        came = missing = 0
        async for lacking in self._lacking():
            for done in await in_batches(self._fetched, lacking):
                came += done
                missing += not done
        self.counts.fetched += came
        self.counts.missing = missing
        self.counts.walks += 1
        return came

    async def _lacking(self) -> AsyncIterator[list[str]]:
        """Names of what this node owns and lacks, page by page, resting between."""
        me, after = self._blobs.peers.name, ""
        while page := self._named(after, PAGE):
            began = time.monotonic()
            after = page[-1]
            lacking = [d for d in page if not self._here(d) and me in self._blobs.owners(d)]
            pause_s = DUTY * (time.monotonic() - began)
            yield lacking
            await asyncio.sleep(pause_s)

    async def _look_ahead(self) -> None:
        """How much a move has before it."""
        count = 0
        async for lacking in self._lacking():
            count += len(lacking)
        if self.move is not None:
            self.move.left = count

    async def _fetched(self, digest: str) -> bool:
        try:
            await self._blobs.fetch(digest)
            size = self._blobs.size(digest)
        except (Unavailable, FileNotFoundError):  # told by who fetched; collected meanwhile
            return False
        self.counts.moved_bytes += size
        if self.moving and self.move is not None:
            self.move.fetched += 1
            self.move.fetched_bytes += size
            self.move.left = max(0, self.move.left - 1)
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
        if self.move is not None and not self.move.ended_ms:
            self.move.left = left
            if not left:
                await self._end_move(self.move)
        self.counts.left = left
        return left

    async def _given(self, digest: str) -> bool:
        try:
            for node in self._blobs.owners(digest):
                if not await self._blobs.peers.has(node, digest):
                    await self._blobs.send(node, digest)
                    self._count_given(self._blobs.size(digest))
        except (Unavailable, FileNotFoundError) as e:
            log.info("blob %s is not handed over yet: %s", digest, e)
            return False
        return True

    def _count_given(self, size: int) -> None:
        self.counts.moved_bytes += size
        if self.move is not None:
            self.move.given += 1
            self.move.given_bytes += size

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
        if await owned(self._blobs, digest):
            self.counts.dropped += await self._blobs.local.delete(digest, self._spare_s)

    def _pause(self, size: int) -> None:
        """On the reading thread: hold the rate."""
        if self._stopping:
            raise InterruptedError("the scrub stops")
        self.counts.checked_bytes += size
        time.sleep(size / self._rate)
