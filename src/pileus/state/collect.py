"""The collector: removes blobs no row names, from this machine's disk.

A blob is removed when it has had no row in partition ``digest`` of table ``blobrefs`` for an hour
of this process's watching, and its file was not written for an hour. The first rule keeps a blob
whose name is on its way from one owner to the next, the second one that was just uploaded.
"""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.state import keys

IDLE_S = 3600.0
SLICE = 500


class Collector:
    """``sweep`` from time to time; in one process only."""

    def __init__(self, store: Any, blobs: Any, clock: Any, idle_s: float = IDLE_S) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._idle_s = idle_s
        self._unnamed: dict[str, float] = {}

    async def sweep(self) -> int:
        """One pass over all blobs; answers how many were removed. In a cluster each node sweeps
        its own files; ``Unavailable`` when it cannot know all rows that are acknowledged."""
        await self._store.barrier()
        now = self._clock.monotonic()
        present = await asyncio.to_thread(self._blobs.list)
        self._unnamed = {d: t for d, t in self._unnamed.items() if d in set(present)}
        removed = 0
        for at, digest in enumerate(present):
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)  # a long pass must not hold the loop
            if self._named(digest):
                self._unnamed.pop(digest, None)
            elif now - self._unnamed.setdefault(digest, now) >= self._idle_s:
                removed += await self._blobs.delete(digest, self._idle_s)
        return removed

    def _named(self, digest: str) -> bool:
        prefix = keys.partition_prefix("blobrefs", digest)
        return bool(self._store.range(prefix, keys.after_prefix(prefix), 1))
