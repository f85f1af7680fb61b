"""The process that writes the last hours down: once a second, every series of this node.

It needs no event loop and no store; it reads what the others published (``meters``) and ``/proc``.
A process that hangs, or is gone, is seen all the same.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pileus.telemetry.meters import Meters
from pileus.telemetry.rings import Ring
from pileus.telemetry.series import Series, fold_of

log = logging.getLogger("pileus.telemetry")
MINUTE_S = 60
MINUTES_KEPT = 15 * 24 * 60
PROCESS = "meters"


def seconds_folder(home: Path) -> Path:
    return home / "series" / "1s"


def minutes_folder(home: Path) -> Path:
    return home / "series" / "1m"


@dataclass
class Minute:
    """The numbers of the minute under way, one of them per series."""

    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, values: Mapping[str, float]) -> None:
        sums, counts = self.sums, self.counts
        for name, value in values.items():
            if value != value:
                continue
            if fold_of(name) == "max":
                sums[name], counts[name] = max(sums.get(name, value), value), 1
            else:
                sums[name] = sums.get(name, 0.0) + value
                counts[name] = counts.get(name, 0) + 1

    def close(self) -> dict[str, float]:
        folded = {name: total / self.counts[name] for name, total in self.sums.items()}
        self.sums, self.counts = {}, {}
        return folded


class Collector:
    """``turn`` once a second."""

    def __init__(self, home: Path, supervisor: int, hours: int) -> None:
        self._series = Series(home, supervisor)
        self._seconds = Ring(seconds_folder(home), 1, hours * 3600)
        self._minutes = Ring(minutes_folder(home), MINUTE_S, MINUTES_KEPT)
        self._seconds.open()
        self._minutes.open()
        self._minute = Minute()
        self.count = 0

    def turn(self, now_s: float) -> None:
        values = self._series.now()
        self.count = len(values)
        self._seconds.append(now_s, values)
        step = int(now_s) // MINUTE_S
        if step != self._minute.step:
            if self._minute.sums:
                self._minutes.append(self._minute.step * MINUTE_S, self._minute.close())
            self._minute.step = step
        self._minute.add(values)


def run(home: Path, hours: int) -> None:
    """The main function of the supervisor's part: until SIGTERM ends the process, which may be at
    any moment."""
    collector = Collector(home, os.getppid(), hours)
    meters = Meters(PROCESS)
    meters.gauge("pileus_series", lambda: float(collector.count))
    meters.open(home)
    while True:
        now_s = time.time()
        try:
            collector.turn(now_s)
            meters.publish()
        except OSError as error:  # a full disk: the cloud's own writes say so, too
            log.warning("a second of metrics is lost: %s", error)
        time.sleep(max(0.05, 1.0 - time.time() % 1.0))
