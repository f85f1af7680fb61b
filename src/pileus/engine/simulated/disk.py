"""A disk that keeps what was synced and tears what was not."""

from __future__ import annotations

import random

from pileus.errors import Unavailable

SECTOR = 512


class SimulatedFile:
    """One append-only file. ``content`` is what a reader sees; after ``crash`` what was not synced
    survives sector by sector, as the seed decides."""

    def __init__(self, rng: random.Random, sync_failure: float = 0.0) -> None:
        self._rng = rng
        self._sync_failure = sync_failure
        self._synced = 0
        self.content = bytearray()

    def write(self, data: bytes) -> None:
        self.content += data

    def sync(self) -> None:
        """Make all that was written durable; ``Unavailable`` when the seed fails it: what was
        written since the last sync is then neither on the disk nor known to be lost."""
        if self._rng.random() < self._sync_failure:
            raise Unavailable("the disk failed: a simulated sync", "try again")
        self._synced = len(self.content)

    def truncate(self, size: int) -> None:
        """Cut durably: a truncation is followed by a sync that works or the node stays down."""
        del self.content[size:]
        self._synced = min(self._synced, size)

    def crash(self) -> None:
        kept = self.content[: self._synced]
        tail = bytes(self.content[self._synced :])
        survives = self._rng.randint(0, len(tail))
        for at in range(0, survives, SECTOR):
            sector = tail[at : min(at + SECTOR, survives)]
            kept += sector if self._rng.random() < 0.7 else bytes(len(sector))
        self.content = kept
        self._synced = len(kept)
