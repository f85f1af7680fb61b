"""Rate limits shared by all front processes: one small mapped file, no locks.

The generic cell rate algorithm (ITU-T I.371): a limit is one number, the theoretical arrival time
of the next request. Two processes that write at the same instant may admit one request too many;
AWS calls its limits targets, too.
"""

from __future__ import annotations

import mmap
import os
import struct
import zlib
from pathlib import Path

SLOT = struct.Struct("<Qd")
SLOTS = 1 << 16
PROBES = 4


class Rates:
    """``allow(name, rate, burst, now_s)`` over the file ``path``, which any process may open."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            os.ftruncate(fd, SLOTS * SLOT.size)
            self._map = mmap.mmap(fd, SLOTS * SLOT.size)
        finally:
            os.close(fd)

    def allow(self, name: str, rate: float, burst: int, now_s: float) -> bool:
        """May one more request of ``name`` pass, at ``rate`` a second with ``burst`` at once?

        ``now_s`` is the machine's monotonic time. A rate or burst of 0 lets nothing pass.
        """
        if rate <= 0 or burst <= 0:
            return False
        raw = name.encode()
        mark = zlib.crc32(raw) << 32 | zlib.adler32(raw) or 1
        at, due = self._slot(mark, now_s)
        tolerance = burst / rate
        if due > now_s + tolerance:  # left from before a reboot, or another limit's rate
            due = now_s
        due = max(due, now_s) + 1 / rate
        if due - now_s > tolerance + 1e-9:
            return False
        SLOT.pack_into(self._map, at, mark, due)
        return True

    def _slot(self, mark: int, now_s: float) -> tuple[int, float]:
        """The name's place and time; else the place of the longest idle of a few."""
        best, oldest = 0, float("inf")
        for probe in range(PROBES):
            at = ((mark + probe * 7919) % SLOTS) * SLOT.size
            known, due = SLOT.unpack_from(self._map, at)
            if known == mark:
                return at, due
            if due < oldest:
                best, oldest = at, due
        return best, now_s
