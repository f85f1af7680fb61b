"""``pileus top``: what the cloud does now, a line per node, per process and per operation.

On one machine it reads the series of the last seconds from the home; of several nodes, the API
tells them.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.errors import Unavailable
from pileus.telemetry.newest import Now, look

NODE_WIDTH = 8
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
WORST = ("latency_p50_seconds", "latency_p99_seconds")  # of several nodes; rates are sums
Column = tuple[str, str, float, int]


@dataclass(frozen=True, slots=True)
class Seen:
    """What each node does now; one machine's name is ``""``. ``missing``: node → why it tells
    nothing."""

    nodes: dict[str, Now]
    missing: dict[str, str] = field(default_factory=dict)


def here(home: Path) -> Seen:
    """This machine alone."""
    return Seen({"": look(home)})


def everywhere(answer: dict[str, Any]) -> Seen:
    """What ``/_pileus/series?node=all&newest=1`` answered."""
    nodes = {name: Now(told["at"], told["values"]) for name, told in answer["nodes"].items()}
    return Seen(nodes, answer["missing"])


def told_all(seen: Seen) -> dict[str, Any]:
    """For ``--json``: of one machine as ``told``; else ``{"nodes": {name: told}, "missing"}``."""
    if set(seen.nodes) == {""}:
        return told(seen.nodes[""])
    nodes = {name: told(now) for name, now in sorted(seen.nodes.items())}
    return {"nodes": nodes, "missing": seen.missing}


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


def picture(seen: Seen, width: int, height: int) -> str:
    """The screen."""
    newest = max((now.at_s for now in seen.nodes.values()), default=0)
    if not newest:
        return "nobody measures here: is the cloud just starting?"
    lines = [f"pileus {time.strftime('%H:%M:%S', time.localtime(newest))}"]
    if set(seen.nodes) == {""}:
        values = seen.nodes[""].values
        lines.append("   ".join(f"{c[1]} {_shown(values, c)}" for c in TOP))
    else:
        lines.append(_heading("node", TOP, NODE_WIDTH))
        lines += [_row(n, now.values, TOP, NODE_WIDTH) for n, now in sorted(seen.nodes.items())]
        lines += [f"{name:<{NODE_WIDTH}} {why}" for name, why in sorted(seen.missing.items())]
    lines += ["", _heading("process", PROCESSES)]
    for node, now in sorted(seen.nodes.items()):
        for name, figures in sorted(told(now)["processes"].items()):
            lines.append(_row(f"{node} {name}".strip(), figures, PROCESSES))
    lines += ["", _heading("operation", OPERATIONS)]
    for (service, operation), figures in _together(seen).items():
        lines.append(_row(f"{service} {operation}".strip(), figures, OPERATIONS))
    return "\n".join(line[:width] for line in lines[: height - 1])


def _together(seen: Seen) -> dict[tuple[str, str], dict[str, float]]:
    """Operations of all nodes, busiest first: rates are sums, of latencies the worst counts."""
    found: dict[tuple[str, str], dict[str, float]] = {}
    for now in seen.nodes.values():
        for key, figures in _operations(now).items():
            held = found.setdefault(key, {})
            for metric, value in figures.items():
                known = held.get(metric, 0.0)
                held[metric] = max(known, value) if metric in WORST else known + value
    return dict(sorted(found.items(), key=lambda pair: -pair[1]["requests_per_second"]))


def _heading(what: str, columns: tuple[Column, ...], first: int = 40) -> str:
    return f"{what:<{first}}" + "".join(f"{title:>15}" for _, title, _, _ in columns)


def _row(name: str, figures: dict[str, float], columns: tuple[Column, ...], first: int = 40) -> str:
    return f"{name:<{first}}" + "".join(f"{_shown(figures, column):>15}" for column in columns)


def _shown(figures: dict[str, float], column: Column) -> str:
    metric, _, scale, digits = column
    value = figures.get(metric)
    return "-" if value is None else f"{value * scale:,.{digits}f}"


def watch(look_again: Callable[[], Seen], write: Callable[[str], None]) -> None:
    """Draw every second until interrupted; a node that restarts is waited for."""
    while True:
        size = shutil.get_terminal_size()
        try:
            drawn = picture(look_again(), size.columns, size.lines)
        except Unavailable as error:
            drawn = str(error)
        write(CLEAR + drawn)
        time.sleep(1.0 - time.time() % 1.0 + 0.2)
