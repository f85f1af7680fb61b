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
from collections.abc import Iterator
from contextlib import contextmanager
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
        self._boot, self._marks = view[:8].cast("Q"), view[8 : 8 + 8 * SLOTS].cast("Q")
        self._full_at = view[8 + 8 * SLOTS :].cast("d")
        self._slots: dict[str, tuple[int, int]] = {}
        with self._locked():
            self._forget_other_boots()

    def used_s(self, name: str, now_s: float) -> float:
        """What is missing from the bucket, in seconds of its rate; 0 when it is full."""
        slot = self._find(name)
        return 0.0 if slot < 0 else max(0.0, self._full_at[slot] - now_s)

    def use(self, name: str, seconds: float, now_s: float) -> None:
        """Take ``seconds`` of the bucket's rate (units / rate); the bucket may go below zero.
        Negative seconds give back."""
        with self._locked():
            slot = self._find(name)
            if slot < 0:
                slot = self._take(name, now_s)
            self._full_at[slot] = max(self._full_at[slot], now_s) + seconds

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if self._file is None:
            yield
            return
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)

    def _forget_other_boots(self) -> None:
        this_boot = _mark(BOOT.read_text() if BOOT.exists() else "")
        if self._boot[0] != this_boot:
            self._map[8:] = bytes(len(self._map) - 8)
            self._boot[0] = this_boot

    def _find(self, name: str) -> int:
        """The bucket's place; -1 when it has none (it is full)."""
        known = self._slots.get(name)
        if known is not None and self._marks[known[0]] == known[1]:
            return known[0]
        mark = _mark(name)
        for slot in _places(mark):
            if self._marks[slot] == mark:
                return self._know(name, slot, mark)
        return -1

    def _take(self, name: str, now_s: float) -> int:
        """A place for the bucket: that of the fullest other one it may have."""
        mark = _mark(name)
        slot = min(_places(mark), key=lambda place: self._full_at[place])
        self._full_at[slot], self._marks[slot] = now_s, mark
        return self._know(name, slot, mark)

    def _know(self, name: str, slot: int, mark: int) -> int:
        if len(self._slots) > SLOTS:
            self._slots.clear()
        self._slots[name] = (slot, mark)
        return slot


def _places(mark: int) -> list[int]:
    return [(mark + probe * 7919) % SLOTS for probe in range(PROBES)]


def _mark(name: str) -> int:
    """A bucket's mark in the file: never 0, that is a free place."""
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little") | 1
