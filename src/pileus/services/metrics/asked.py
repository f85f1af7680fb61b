"""``GET /_pileus/series``: which series there are, and their numbers over a span of time.

``name`` (again for more; ``*`` stands for anything), ``from`` and ``to`` (seconds since 1970, or
negative: that long ago), ``step`` (seconds; 1). Up to the hours kept by the second, numbers are of
the second; beyond, or where ``step`` is whole minutes over long spans, of the minute.
``node``: of other nodes, too (``everywhere``).
"""

from __future__ import annotations

import time
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from pileus.telemetry import catalogue, collect, rings
from pileus.telemetry.series import fold_of, split

NUMBERS_MAX = 1_000_000
NAMES_MAX = 200
SPAN_S = 300
LONG_S = 2 * 3600
Query = dict[str, list[str]]


def fixed(query: Query) -> Query:
    """The same question with its span told in seconds since 1970: the same one to every node."""
    if not any(query.get("name", [])):
        return query
    first, end, step = _span(query)
    return query | {"from": [str(first)], "to": [str(end)], "step": [str(step)]}


def answer(home: Path, query: Query, lenient: bool = False) -> dict[str, Any]:
    """``{"series": [{"name", "metric", "labels", "unit"}]}``, or with names ``{"from", "to",
    "step", "times": […], "series": [{…, "values": [number or null]}]}``. ``ValueError`` says what
    is wrong with the question. ``lenient``: a name that is not known is left out."""
    unknown = query.keys() - {"name", "from", "to", "step"}
    if unknown:
        raise ValueError(f"unknown parameter: {', '.join(sorted(unknown))}")
    known = rings.names(collect.seconds_folder(home))
    patterns = [p for p in query.get("name", []) if p]
    if not patterns:
        return {"now": int(time.time()), "series": [_described(name) for name in known]}
    names = _chosen(patterns, known, lenient)
    first, end, step = _span(query)
    if len(names) * (end - first) // step > NUMBERS_MAX:
        raise ValueError(f"more than {NUMBERS_MAX} numbers: take fewer names or a larger step")
    folder, unit = collect.seconds_folder(home), 1
    if step % collect.MINUTE_S == 0 and (end - first > LONG_S or time.time() - first > LONG_S):
        folder, unit = collect.minutes_folder(home), collect.MINUTE_S
    held = rings.read(folder, names, first // unit, end // unit)
    return {
        "from": first,
        "to": end,
        "step": step,
        "times": list(range(first, end, step)),
        "series": [
            _described(name)
            | {"values": _rounded(rings.fold(held[name], step // unit, fold_of(name)))}
            for name in names
        ],
    }


def _described(name: str) -> dict[str, Any]:
    metric, labels = split(name)
    return {"name": name, "metric": metric, "labels": labels, "unit": catalogue.unit(metric)}


def _chosen(patterns: list[str], known: list[str], lenient: bool) -> list[str]:
    chosen: dict[str, None] = {}
    for pattern in patterns:
        if "*" in pattern:
            chosen.update(dict.fromkeys(n for n in known if fnmatchcase(n, pattern)))
        elif pattern in known:
            chosen[pattern] = None
        elif not lenient:
            raise ValueError(f"no series is called {pattern!r}")
    if len(chosen) > NAMES_MAX:
        raise ValueError(f"more than {NAMES_MAX} series at once")
    return list(chosen)


def _span(query: Query) -> tuple[int, int, int]:
    """(first second, second after the last, step), on the step's grid."""
    now = int(time.time())
    step = _number(query, "step", 1)
    if not 1 <= step <= 86_400:
        raise ValueError("step is 1 to 86400 seconds")
    end = _number(query, "to", now)
    end = now + end if end < 0 else end
    first = _number(query, "from", end - SPAN_S)
    first = now + first if first < 0 else first
    first, end = first // step * step, -(-end // step) * step
    if first >= end:
        raise ValueError("from must be before to")
    return first, end, step


def _number(query: Query, name: str, default: int) -> int:
    told = query.get(name)
    if not told:
        return default
    try:
        return int(float(told[-1]))
    except (ValueError, OverflowError):
        raise ValueError(f"{name} must be a number of seconds") from None


def _rounded(values: list[float]) -> list[float]:
    """Without the noise of float32's last digits; NaN becomes null on the wire."""
    return [round(v, 7) for v in values]
