"""Does this node's copy of each log still grow with the others'?

A log server that could not write once (its disk was full) keeps that stream closed, and its copy
falls behind for ever, though there is room again: two copies are left, and the next fault stops
writing (nats-server 2.15.1; related: nats-io/nats-server#8319). Started again it reads what it has
and fetches the rest. So a copy that stands still is a reason to restart the server. How far it is
behind says little (that is told late, and grows with what others write); whether its files change
says it: a copy that catches up writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pileus.engine.cluster.streams import StreamInfo

STILL_S = 10.0  # a copy that fetches what it lacks writes some of it in this time
PAUSE_S = 60.0  # between two restarts
ROOM_BYTES_MIN = 64 * 1024**2
STORES = "nats/jetstream/*/streams"


@dataclass
class _Look:
    """A stream's files here and their sizes, and since when they are so."""

    blocks: dict[str, int]
    since_s: float


class OwnCopy:
    """``name``: of this node; ``home``: where its server keeps the logs."""

    def __init__(self, name: str, home: Path, monotonic: Callable[[], float]) -> None:
        self._name, self._home, self._monotonic = name, home, monotonic
        self._seen: dict[str, _Look] = {}  # by stream; none whose copy is current
        self._restarted_s = -PAUSE_S

    def stands_still(self, found: StreamInfo) -> bool:
        """Whether the server is to be started again now: the copy is not current, another leads,
        nothing was written for ``STILL_S``, and there is room on the disk."""
        now_s = self._monotonic()
        own = next((p for p in found.peers if p.name == self._name), None)
        if own is None or own.current or not found.leader:
            self._seen.pop(found.name, None)
            return False
        blocks = self._blocks(found.name)
        seen = self._seen.get(found.name)
        if seen is None or blocks != seen.blocks:
            seen = self._seen[found.name] = _Look(blocks, now_s)
        if now_s < max(seen.since_s + STILL_S, self._restarted_s + PAUSE_S):
            return False
        if not self._room():
            return False
        self._restarted_s = now_s
        return True

    def _blocks(self, stream: str) -> dict[str, int]:
        """The log's files here and their sizes."""
        found: dict[str, int] = {}
        for path in self._home.glob(f"{STORES}/{stream}/msgs/*.blk"):
            with contextlib.suppress(FileNotFoundError):  # purged meanwhile
                found[str(path)] = path.stat().st_size
        return found

    def _room(self) -> bool:
        disk = os.statvfs(self._home)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES_MIN
