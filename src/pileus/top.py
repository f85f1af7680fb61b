"""``pileus top``: what this machine's cloud does now, a line per process and per operation.

It reads the series of the last seconds from the home, as the API would tell them.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.telemetry import collect, rings
from pileus.telemetry.series import split

LOOK_BACK_S = 4  # the newest second may not be written yet
CLEAR = "\x1b[H\x1b[2J"
TOP = (
    ("requests_per_second", "requests/s", 1.0, 1),
    ("latency_p50_seconds", "p50 ms", 1000.0, 2),
    ("latency_p99_seconds", "p99 ms", 1000.0, 2),
    ("requests_refused_per_second", "refused/s", 1.0, 1),
    ("requests_failed_per_second", "failed/s", 1.0, 1),
    ("log_entries_per_second", "entries/s", 1.0, 1),
    ("cpu_cores", "cpu cores", 1.0, 2),
    ("machine_memory_available_bytes", "memory free MB", 1e-6, 0),
    ("disk_free_bytes", "disk free GB", 1e-9, 1),
)
PROCESSES = (
    ("process_up", "up", 1.0, 0),
    ("process_cpu_cores", "cpu cores", 1.0, 3),
    ("process_resident_bytes", "resident MB", 1e-6, 1),
    ("process_proportional_bytes", "share MB", 1e-6, 1),
    ("process_loop_lag_seconds", "lag ms", 1000.0, 1),
)
OPERATIONS = (
    ("requests_per_second", "requests/s", 1.0, 1),
    ("latency_p50_seconds", "p50 ms", 1000.0, 2),
    ("latency_p99_seconds", "p99 ms", 1000.0, 2),
    ("requests_refused_per_second", "refused/s", 1.0, 1),
    ("requests_failed_per_second", "failed/s", 1.0, 1),
)
Column = tuple[str, str, float, int]


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
    """The newest whole second of the series under ``home``."""
    folder = collect.seconds_folder(home)
    names = rings.names(folder)
    end = int(time.time()) + 1
    held = rings.read(folder, names, end - LOOK_BACK_S, end)
    for back in range(LOOK_BACK_S - 1, -1, -1):
        values = {n: v[back] for n, v in held.items() if not math.isnan(v[back])}
        if values:
            return Now(end - LOOK_BACK_S + back, values)
    return Now(0, {})


def told(now: Now) -> dict[str, Any]:
    """For ``--json``: totals, processes and operations, in the series' own units."""
    processes: dict[str, dict[str, float]] = {}
    for metric, *_ in PROCESSES:
        for labels, value in now.of(metric).items():
            processes.setdefault(dict(labels)["process"], {})[metric] = value
    return {
        "at": now.at_s,
        "total": {metric: now.values[metric] for metric, *_ in TOP if metric in now.values},
        "processes": processes,
        "operations": [
            {"service": service, "operation": operation, **figures}
            for (service, operation), figures in _operations(now).items()
        ],
    }


def _operations(now: Now) -> dict[tuple[str, str], dict[str, float]]:
    """Busiest first; those nobody asks are left out."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for metric, *_ in OPERATIONS:
        for labels, value in now.of(metric).items():
            named = dict(labels)
            if "service" in named:
                key = (named["service"], named.get("operation", ""))
                found.setdefault(key, {})[metric] = value
    busy = [(k, v) for k, v in found.items() if v.get("requests_per_second", 0) > 0]
    return dict(sorted(busy, key=lambda pair: -pair[1]["requests_per_second"]))


def picture(now: Now, width: int, height: int) -> str:
    """The screen."""
    if not now.at_s:
        return "nobody measures here: is the cloud just starting?"
    stamp = time.strftime("%H:%M:%S", time.localtime(now.at_s))
    lines = [f"pileus {stamp}"]
    lines.append("   ".join(f"{word} {_shown(now.values, c)}" for c in TOP if (word := c[1])))
    lines += ["", _heading("process", PROCESSES)]
    parts = told(now)["processes"]
    lines += [_row(name, figures, PROCESSES) for name, figures in sorted(parts.items())]
    lines += ["", _heading("operation", OPERATIONS)]
    for (service, operation), figures in _operations(now).items():
        lines.append(_row(f"{service} {operation}".strip(), figures, OPERATIONS))
    return "\n".join(line[:width] for line in lines[: height - 1])


def _heading(what: str, columns: tuple[Column, ...]) -> str:
    return f"{what:<40}" + "".join(f"{title:>13}" for _, title, _, _ in columns)


def _row(name: str, figures: dict[str, float], columns: tuple[Column, ...]) -> str:
    return f"{name:<40}" + "".join(f"{_shown(figures, column):>13}" for column in columns)


def _shown(figures: dict[str, float], column: Column) -> str:
    metric, _, scale, digits = column
    value = figures.get(metric)
    return "-" if value is None else f"{value * scale:,.{digits}f}"


def watch(home: Path, write: Callable[[str], None]) -> None:
    """Draw every second until interrupted."""
    while True:
        size = shutil.get_terminal_size()
        write(CLEAR + picture(look(home), size.columns, size.lines))
        time.sleep(1.0 - time.time() % 1.0 + 0.2)
