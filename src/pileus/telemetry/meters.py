"""Counters that cost next to nothing: a list of numbers per process, published once a second.

Whoever counts owns the index of a cell and adds to it; nothing is looked up by name on the way of a
request. ``publish`` writes the numbers to ``home/run/meters/PROCESS.cells`` (only the pages that
changed), where any process of the node reads them; what a number means stands in
``PROCESS.names``, a line of JSON per counter.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import struct
import time
from array import array
from collections.abc import Callable, Mapping
from pathlib import Path

from pileus.telemetry import histogram

HEAD = struct.Struct("<8sQdddQQ")  # mark, pid, started, published, CPU seconds, cells, names
HEAD_BYTES = 4096
MARK = b"PLSMTR1\0"
PAGE = 4096
CELLS_MAX = 65_536
TICK_S = 0.25
OTHER = "(other)"


class Meters:
    """One process's counters. Without ``open`` they only count."""

    def __init__(self, process: str = "") -> None:
        self.process = process
        self.cells: list[float] = [0] * histogram.CELLS  # block 0: nobody's
        self._known: dict[tuple[str, str, tuple[tuple[str, str], ...]], int] = {}
        self._gauges: list[tuple[int, Callable[[], float]]] = []
        self._lines: list[str] = []
        self._fd = -1
        self._names: Path | None = None
        self._written: dict[int, bytes] = {}
        self._told = 0
        self._started = time.time()
        self._collecting = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._lag = self._lag_max = 0.0
        self._second = 0.0
        self._due = 0.0

    # -- what is counted ---------------------------------------------------------------------

    def counter(self, name: str, **labels: str) -> int:
        """The cell of a counter: ``cells[i] += n``."""
        return self._take(name, "counter", 1, labels)

    def gauge(self, name: str, read: Callable[[], float], **labels: str) -> None:
        """A number that is asked for once a second; several of one name are added."""
        self._gauges.append((self._take(name, "gauge", 1, labels), read))

    def requests(self, name: str, **labels: str) -> int:
        """The block of one kind of request (see ``histogram``)."""
        return self._take(name, "requests", histogram.CELLS, labels)

    def _take(self, name: str, kind: str, size: int, labels: Mapping[str, str]) -> int:
        told = tuple(sorted(labels.items()))
        found = self._known.get((name, kind, told))
        if found is not None:
            return found
        at = len(self.cells)
        if at + size > CELLS_MAX and OTHER not in labels.values():  # bounded: callers make names
            return self._take(name, kind, size, dict.fromkeys(labels, OTHER))
        self.cells.extend([0] * size)  # whole numbers: they are added faster
        self._known[name, kind, told] = at
        self._lines.append(
            json.dumps({"name": name, "kind": kind, "at": at, "labels": dict(told)}) + "\n"
        )
        return at

    # -- where it goes -----------------------------------------------------------------------

    def open(self, home: Path) -> None:
        """Publish under ``home`` from now on, instead of an earlier process of this name."""
        folder = home / "run" / "meters"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._names = folder / f"{self.process}.names"
        cells = folder / f"{self.process}.cells"
        cells.unlink(missing_ok=True)
        self._names.unlink(missing_ok=True)
        self._fd = os.open(cells, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._watch_collector()
        self.publish()

    def publish(self) -> None:
        """Write what changed. Names first: no number is without its meaning."""
        for at, _ in self._gauges:
            self.cells[at] = 0
        for at, read in self._gauges:
            self.cells[at] += read()
        if self._fd < 0:
            return
        assert self._names is not None
        if self._told < len(self._lines):
            with self._names.open("a") as file:
                file.writelines(self._lines[self._told :])
            self._told = len(self._lines)
        raw = array("d", self.cells).tobytes()
        for at in range(0, len(raw), PAGE):
            page = raw[at : at + PAGE]
            if self._written.get(at) != page:
                os.pwrite(self._fd, page, HEAD_BYTES + at)
                self._written[at] = page
        sizes = len(self.cells), self._told
        times = self._started, time.time(), time.process_time()
        os.pwrite(self._fd, HEAD.pack(MARK, os.getpid(), *times, *sizes), 0)

    def close(self) -> None:
        """Stop publishing; the files go, for the process is gone on purpose."""
        if self._timer is not None:
            self._timer.cancel()
        if self._fd >= 0:
            assert self._names is not None
            os.close(self._fd)
            self._fd = -1
            self._names.with_suffix(".cells").unlink(missing_ok=True)
            self._names.unlink(missing_ok=True)
        if self._on_collection in gc.callbacks:
            gc.callbacks.remove(self._on_collection)

    # -- of the process itself ---------------------------------------------------------------

    def run_on(self, loop: asyncio.AbstractEventLoop) -> None:
        """Publish once a second on this loop, and watch how late it runs."""
        self.gauge("pileus_process_loop_lag_seconds", lambda: self._lag_max)
        self._plan(loop)

    def _plan(self, loop: asyncio.AbstractEventLoop) -> None:
        """The next tick, on the wall clock's quarters of a second."""
        self._due = loop.time() + TICK_S - time.time() % TICK_S
        self._timer = loop.call_at(self._due, self._tick, loop)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        self._lag = max(self._lag, loop.time() - self._due)
        second, part = divmod(time.time() + 0.001, 1.0)
        # In the middle of a second: the collector reads at its beginning.
        if second != self._second and part >= 0.5:
            self._second = second
            self._lag_max, self._lag = self._lag, 0.0
            self.publish()
        self._plan(loop)

    def _watch_collector(self) -> None:
        self._runs = self.counter("pileus_process_gc_collections_total")
        self._paused = self.counter("pileus_process_gc_seconds_total")
        gc.callbacks.append(self._on_collection)

    def _on_collection(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._collecting = time.perf_counter()
        else:
            self.cells[self._runs] += 1
            self.cells[self._paused] += time.perf_counter() - self._collecting
