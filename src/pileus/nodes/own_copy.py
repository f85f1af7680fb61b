"""Does this node's copy of the log still grow with the others'?

A log server that could not write once (its disk was full) keeps that stream closed, and its copy
falls behind for ever, though there is room again: two copies are left, and the next fault stops
writing (nats-server 2.15.1; related: nats-io/nats-server#8319). Started again it reads what it has
and fetches the rest. So a copy that stands still is a reason to restart the server.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from pileus.engine.cluster.streams import StreamInfo

STILL_S = 6.0  # a copy that fetches what it lacks comes nearer in this time, on slow disks too
PAUSE_S = 60.0  # between two restarts
ROOM_BYTES_MIN = 64 * 1024**2


class OwnCopy:
    """``name``: of this node; ``store``: where its server keeps the log."""

    def __init__(self, name: str, store: Path, monotonic: Callable[[], float]) -> None:
        self._name, self._store, self._monotonic = name, store, monotonic
        self._least = -1  # the smallest lag since the copy was current; -1: it is
        self._since_s = 0.0
        self._restarted_s = -PAUSE_S

    def stands_still(self, found: StreamInfo) -> bool:
        """Whether the server is to be started again now: the copy has not come nearer for
        ``STILL_S``, another leads, and there is room on the disk."""
        now_s = self._monotonic()
        own = next((p for p in found.peers if p.name == self._name), None)
        if own is None or own.current or not found.leader:
            self._least = -1
            return False
        if self._least < 0 or own.lag < self._least:
            self._least, self._since_s = own.lag, now_s
        if now_s - max(self._since_s + STILL_S, self._restarted_s + PAUSE_S) < 0:
            return False
        if not self._room():
            return False
        self._restarted_s = now_s
        return True

    def _room(self) -> bool:
        disk = os.statvfs(self._store)
        return disk.f_bavail * disk.f_frsize >= ROOM_BYTES_MIN
