"""How busy a machine is: the share of its processors in use, from ``/proc/stat`` (proc(5)), and of
the functions it may run at once, from what its runtime publishes. The processors may be other
nodes' too, or other programs'; the workers are this node's alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pileus.telemetry.readings import Readings

LOOK_S = 1.0
STAT = Path("/proc/stat")
TAKEN = {("pileus_runtime_workers", (("state", "busy"),)), ("pileus_runtime_waiting", ())}


class Busy:
    """Measured from one look to the next, at most one a second."""

    def __init__(self, clock: Any, stat: Path = STAT) -> None:
        self._clock = clock
        self._stat = stat
        self._looked_s = float("-inf")
        self._idle = self._whole = 0
        self._share = 0.0

    def share(self) -> float:
        """0 to 1 in tenths, of the last second or more; 0 where the system does not tell."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            self._look()
        return self._share

    def _look(self) -> None:
        try:
            words = self._stat.read_text().partition("\n")[0].split()[1:9]
        except OSError:
            return
        spent = [int(word) for word in words]
        idle, whole = sum(spent[3:5]), sum(spent)  # idle and waiting for disks
        if self._whole and whole > self._whole:
            used = 1 - (idle - self._idle) / (whole - self._whole)
            self._share = round(min(1.0, max(0.0, used)), 1)
        self._idle, self._whole = idle, whole


class Workers:
    """The functions that run here, or wait for a worker, among the ``most`` that may at once."""

    def __init__(self, clock: Any, home: Path, most: int) -> None:
        self._clock, self._most = clock, most
        self._readings = Readings(home)
        self._looked_s = float("-inf")
        self._share = 0.0

    def share(self) -> float:
        """0 to 1 in tenths, as of the last two seconds; 0 without a runtime."""
        now_s = self._clock.monotonic()
        if now_s - self._looked_s >= LOOK_S:
            self._looked_s = now_s
            told = self._readings.one("runtime")
            taken = 0.0
            if told is not None:
                ours = (m for m in told.meters if (m.name, m.labels) in TAKEN)
                taken = sum(told.cells[m.at] for m in ours)
            self._share = round(min(1.0, taken / max(1, self._most)), 1)
        return self._share
