"""What one node's blobs go through when a node came or went, counted so that it can be watched.

A move begins when the set of nodes that keep blobs is another than at the end of the last move. The
node fetches what has become its own, lets go of what has become others' once all of them have it
(what came within the hour stays: it may be asked for here), or, when it leaves, gives away what it
has. A process that starts again in the middle goes on: what is done need not be done again.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.errors import Unavailable

PAGE = 200
AT_ONCE = 8


@dataclass
class Move:
    """``keepers``: the nodes that keep blobs from now on. ``left``: blobs to be fetched, given or
    let go of, as far as is known (-1: not looked yet). ``ended_ms`` is 0 while it goes on."""

    keepers: list[str]
    since_ms: int
    left: int = -1
    fetched: int = 0
    fetched_bytes: int = 0
    given: int = 0
    given_bytes: int = 0
    dropped: int = 0
    dropped_bytes: int = 0
    ended_ms: int = 0


class Letting:
    """Lets go of blobs that others own now."""

    def __init__(
        self, blobs: ClusterBlobs, is_named: Callable[[str], bool], spare_s: float
    ) -> None:
        self._blobs = blobs
        self._is_named = is_named
        self._spare_s = spare_s

    async def walk(self, move: Move) -> int:
        """Drop what all of its owners have; answers how many blobs some owner still lacks."""
        after, lacking = "", 0
        while page := await asyncio.to_thread(self._blobs.local.some, after, PAGE):
            after = page[-1]
            others = [d for d in page if self._of_others(d)]
            done = await in_batches(lambda d: self._let_go(d, move), others)
            lacking += done.count(False)
        return lacking

    def _of_others(self, digest: str) -> bool:
        return self._blobs.peers.name not in self._blobs.owners(digest) and self._is_named(digest)

    async def _let_go(self, digest: str, move: Move) -> bool:
        """False: an owner lacks it, or does not answer."""
        try:
            size = self._blobs.size(digest)
            if not await owned(self._blobs, digest):
                return False
            if await self._blobs.delete(digest, self._spare_s):
                move.dropped += 1
                move.dropped_bytes += size
        except FileNotFoundError:
            return True  # collected meanwhile
        except Unavailable:
            return False
        return True


async def owned(blobs: ClusterBlobs, digest: str) -> bool:
    """Whether each owner, asked, has the blob."""
    for node in blobs.owners(digest):
        if not await blobs.peers.has(node, digest):
            return False
    return True


async def in_batches(work: Callable[[str], Awaitable[bool]], digests: Sequence[str]) -> list[bool]:
    """``work`` on each, a few at once."""
    done: list[bool] = []
    for at in range(0, len(digests), AT_ONCE):
        done += await asyncio.gather(*(work(d) for d in digests[at : at + AT_ONCE]))
    return done


def now_ms() -> int:
    return time.time_ns() // 1_000_000
