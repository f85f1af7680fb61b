"""How busy a machine is: the share of its processors in use, from ``/proc/stat`` (proc(5))."""

from __future__ import annotations

from pathlib import Path
from typing import Any

LOOK_S = 1.0
STAT = Path("/proc/stat")


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
