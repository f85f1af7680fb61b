"""The newest second of a node's series."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from pileus.telemetry import collect, rings
from pileus.telemetry.series import split

LOOK_BACK_S = 4  # the newest second may not be written yet


@dataclass(frozen=True, slots=True)
class Now:
    """The newest number of each series and the second it is of (0: nobody measures)."""

    at_s: int
    values: dict[str, float]

    def of(self, metric: str) -> dict[tuple[tuple[str, str], ...], float]:
        """By labels."""
        found = {}
        for name, value in self.values.items():
            held, labels = split(name)
            if held == metric:
                found[tuple(sorted(labels.items()))] = value
        return found


def look(home: Path) -> Now:
    """The newest whole second of the series under ``home``. Blocking."""
    folder = collect.seconds_folder(home)
    names = rings.names(folder)
    end = int(time.time()) + 1
    held = rings.read(folder, names, end - LOOK_BACK_S, end)
    for back in range(LOOK_BACK_S - 1, -1, -1):
        values = {n: v[back] for n, v in held.items() if not math.isnan(v[back])}
        if values:
            return Now(end - LOOK_BACK_S + back, values)
    return Now(0, {})
