"""Does this node's copy of each log still grow with the others'?

A log server that could not write once (its disk was full) keeps that stream closed, and its copy
falls behind for ever, though there is room again: two copies are left, and the next fault stops
writing (nats-server 2.15.1; related: nats-io/nats-server#8319). Started again it reads what it has
and fetches the rest. So a copy that stands still is a reason to restart the server. Where that does
not help (#8319, #2642 and others tell of copies that never catch up), the leader steps down; then
the copy is taken away and given again (2.15.1 takes the one that is behind); at last its files here
are thrown away. The last two need every other copy current, the leader's and one more at least. How
far it is behind says little (that is told late, and grows with what others write); whether its
files change says it: a copy that catches up writes.
"""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from pileus.engine.cluster.streams import StreamInfo

STILL_S = 10.0  # a copy that fetches what it lacks writes some of it in this time
PAUSE_S = 60.0  # between two remedies
RESTART, STEP_DOWN, GIVE_ANEW, DISCARD = "restart", "step-down", "give-anew", "discard"
REMEDIES = (RESTART, STEP_DOWN, GIVE_ANEW, DISCARD)
GENTLE = REMEDIES[:2]  # where another copy is not whole either
OTHERS_MIN = 2
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
        self._tried: Counter[str] = Counter()  # remedies, by stream; none whose copy is current
        self._tried_s = -PAUSE_S

    def remedy(self, found: StreamInfo) -> str:
        """What is to be done now for the copy of a log, one of ``REMEDIES``, the next each time;
        "" where it is current or leads, where something was written within ``STILL_S``, or the disk
        has no room."""
        now_s = self._monotonic()
        own = next((p for p in found.peers if p.name == self._name), None)
        if own is None or own.current or not found.leader:
            self._seen.pop(found.name, None)
            if found.leader == self._name or (own is not None and own.current):
                self._tried.pop(found.name, None)
            return ""
        blocks = self._blocks(found.name)
        seen = self._seen.get(found.name)
        if seen is None or blocks != seen.blocks:
            seen = self._seen[found.name] = _Look(blocks, now_s)
        if now_s < max(seen.since_s + STILL_S, self._tried_s + PAUSE_S) or not self._room():
            return ""
        able = REMEDIES if self._others_whole(found) else GENTLE
        chosen = able[self._tried[found.name] % len(able)]
        self._tried[found.name] += 1
        self._tried_s = now_s
        return chosen

    def _others_whole(self, found: StreamInfo) -> bool:
        others = [p for p in found.peers if p.name != self._name]
        whole = all(p.current and not p.offline for p in others)
        return whole and 1 + len(others) >= OTHERS_MIN and len(found.peers) + 1 == found.replicas

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
