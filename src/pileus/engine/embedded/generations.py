"""A small mapped file of counters, shared by all processes: what makes caches exact.

Slot ``crc32(table) % 4096`` grows after a commit that touched a table and before the commit is
answered. Two tables in one slot cost a needless re-read, never a stale one. Two more words follow:
the commit counter, which grows before the slots do (who reads a slot and then a row must not get
the row as of before), and whether readers are to keep quiet (see ``state.turn``). Then come
slots of rows and of partitions: what one tells stands while its slot does, whatever else is written
to its table. They grow together with those of tables.
"""

from __future__ import annotations

import functools
import mmap
import operator
import os
import threading
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

SLOTS = 4096
COMMITS, QUIET = SLOTS, SLOTS + 1
ROWS, FIRST = 65_536, SLOTS + 2
COUNTERS = FIRST + ROWS
SIZE = COUNTERS * 8


def slot(table: bytes) -> int:
    return crc32(table) % SLOTS


def row_slot(key: bytes) -> int:
    """``key``: a row's, or of a partition's rows what they start with (``state.keys.head``)."""
    return FIRST + crc32(key) % ROWS


class Generations:
    """Counters by table, partition and row. Only the writer calls ``bump``."""

    def __init__(self, path: Path) -> None:
        fd = os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            if os.fstat(fd).st_size != SIZE:
                os.ftruncate(fd, SIZE)
            self._map = mmap.mmap(fd, SIZE)
        finally:
            os.close(fd)
        # One aligned 8-byte store per counter: a reader sees the old number or the new one.
        self._counters = memoryview(self._map).cast("Q")
        self.at: Callable[[int], int] = self._counters.__getitem__
        self._slots: dict[str, int] = {}
        self._order = threading.Lock()
        self.commits: Callable[[], int] = functools.partial(self.at, COMMITS)
        self.quiet: Callable[[], int] = functools.partial(self.at, QUIET)

    def get(self, table: str) -> int:
        at = self._slots.get(table)
        if at is None:
            at = self._slots[table] = slot(table.encode())
        return self._counters[at]

    def counter(self, table: str) -> Callable[[], int]:
        """``get`` of one table, bound: no Python frame to run."""
        return functools.partial(self._counters.__getitem__, slot(table.encode()))

    def stamp(self, *tables: str) -> Callable[[], Any]:
        """What tells the same as long as reads of ``tables`` do: an answer kept with what it told
        before its rows were read is still right."""
        slots = [slot(table.encode()) for table in tables]
        return functools.partial(operator.itemgetter(*slots), self._counters)

    def bump(self, slots: set[int]) -> None:
        """After a commit that touched ``slots``."""
        counters = self._counters
        with self._order:
            counters[COMMITS] += 1
        with self._order:  # taken twice: no processor may show the stores the other way round
            for at in slots:
                counters[at] += 1

    def keep_quiet(self, wanted: bool) -> None:
        """Ask readers to hold no transaction, or let them again."""
        self._counters[QUIET] = wanted
        self.bump(set())  # they look when the commit counter moves

    def bump_all(self) -> None:
        """At the writer's start: its predecessor may have died between a commit and its bump."""
        self.keep_quiet(False)
        self.bump(set(range(SLOTS)))
        rows = self._counters[FIRST:]
        above = max(rows) + 1
        with self._order:
            rows[:] = array("Q", [above]) * ROWS

    def close(self) -> None:
        self._counters.release()
        self._map.close()
