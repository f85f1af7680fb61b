"""Token buckets that all front processes share: one small mapped file, one number a bucket.

A bucket of ``rate`` units a second holds up to ``BURST_S`` seconds of unused units (Developer
Guide, "Burst and adaptive capacity": 300 seconds). It is kept as the moment at which it will be
full again (the virtual time of the generic cell rate algorithm, ITU-T I.371): using n units moves
that moment n / rate further; a bucket is empty when it lies ``BURST_S`` ahead. A new one is full.

Every process reads and writes the same eight bytes, so the budget is one, whoever serves a request,
with no message. A use holds the file's lock (2 µs): without it a process that is preempted between
reading and writing undoes what others used meanwhile. The numbers are of the machine's monotonic
clock: a file of an earlier boot starts anew.
"""

from __future__ import annotations

import fcntl
import hashlib
import mmap
import os
from pathlib import Path
from typing import BinaryIO

SLOTS = 1 << 15
PROBES = 8
BURST_S = 300.0
BOOT = Path("/proc/sys/kernel/random/boot_id")


class Buckets:
    """Buckets by name over the file ``path`` (None: in this process's memory only)."""

    def __init__(self, path: Path | None) -> None:
        size = 8 + 16 * SLOTS
        self._file: BinaryIO | None = None  # also the lock of the buckets
        if path is None:
            self._map: mmap.mmap = mmap.mmap(-1, size)
        else:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
            self._file = os.fdopen(fd, "r+b", buffering=0)
            os.ftruncate(fd, size)
            self._map = mmap.mmap(fd, size)
        view = memoryview(self._map)
        boot, self._marks = view[:8].cast("Q"), view[8 : 8 + 8 * SLOTS].cast("Q")
        self._full_at = view[8 + 8 * SLOTS :].cast("d")
        self._slots: dict[str, tuple[int, int]] = {}
        this_boot = _mark(BOOT.read_text() if BOOT.exists() else "")
        if boot[0] != this_boot:
            self._map[8:] = bytes(size - 8)
            boot[0] = this_boot

    def used_s(self, name: str, now_s: float) -> float:
        """What is missing from the bucket, in seconds of its rate; 0 when it is full."""
        return max(0.0, self._full_at[self._slot(name, now_s)] - now_s)

    def use(self, name: str, seconds: float, now_s: float) -> None:
        """Take ``seconds`` of the bucket's rate (units / rate); the bucket may go below zero.
        Negative seconds give back."""
        if self._file is None:
            self._move(name, seconds, now_s)
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            self._move(name, seconds, now_s)
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _move(self, name: str, seconds: float, now_s: float) -> None:
        slot = self._slot(name, now_s)
        self._full_at[slot] = max(self._full_at[slot], now_s) + seconds

    def _slot(self, name: str, now_s: float) -> int:
        """The bucket's place: where it is known to be, else found or taken from a full one."""
        known = self._slots.get(name)
        if known is not None and self._marks[known[0]] == known[1]:
            return known[0]
        mark, best = _mark(name), -1
        for probe in range(PROBES):
            slot = (mark + probe * 7919) % SLOTS
            if self._marks[slot] == mark:
                break
            if best < 0 or self._full_at[slot] < self._full_at[best]:
                best = slot
        else:
            slot = best
            self._full_at[slot], self._marks[slot] = now_s, mark
        if len(self._slots) > SLOTS:
            self._slots.clear()
        self._slots[name] = (slot, mark)
        return slot


def _mark(name: str) -> int:
    """A bucket's mark in the file: never 0, that is a free place."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") | 1
