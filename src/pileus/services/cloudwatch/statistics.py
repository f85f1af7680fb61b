"""Statistics of a group of points.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from pileus.services.cloudwatch import faults
from pileus.services.cloudwatch.points import Point

Pairs = list[tuple[float, float]]
Statistic = Callable[[Sequence[Point]], "float | None"]
SIMPLE: dict[str, Statistic] = {
    "SampleCount": lambda points: sum(p.count for p in points),
    "Sum": lambda points: sum(p.sum for p in points),
    "Average": lambda points: _mean(points),
    "Minimum": lambda points: min(p.least for p in points),
    "Maximum": lambda points: max(p.most for p in points),
}
_SHORT = re.compile(r"(p|tm|tc|ts|wm)(\d{1,2}(?:\.\d{1,10})?|100)\Z", re.I)
_RANGE = re.compile(r"(tm|tc|ts|wm|pr)\(([^:()]*):([^:()]*)\)\Z", re.I)


def _mean(points: Sequence[Point]) -> float | None:
    count = sum(p.count for p in points)
    return sum(p.sum for p in points) / count if count else None


def statistic(name: str) -> Statistic:
    """What computes ``name`` of a non-empty group (None where it cannot be known);
    ``InvalidParameterValue`` for a name that is none."""
    simple = SIMPLE.get(name)
    if simple is not None:
        return simple
    short = _SHORT.match(name)
    if short is not None:
        kind, number = short[1].lower(), float(short[2]) / 100
        if kind == "p":
            return lambda points: _of(points, lambda pairs: _percentile(pairs, number))
        return _trimmed(kind, 0.0, number)
    if name.upper() == "IQM":
        return _trimmed("tm", 0.25, 0.75)
    within = _RANGE.match(name)
    if within is not None:
        low, high = within[2].strip(), within[3].strip()
        if within[1].lower() != "pr" and (low + high).replace("%", "") == low[:-1] + high[:-1]:
            return _trimmed(within[1].lower(), _share(low, 0.0), _share(high, 1.0))
        if "%" not in low + high:
            return _between(within[1].lower(), _bound(low, -1e308), _bound(high, 1e308))
    raise faults.invalid(f"The value {name} for parameter Statistic is not supported.")


def _share(text: str, default: float) -> float:
    return default if not text else _bound(text.rstrip("%"), 0.0) / 100


def _bound(text: str, default: float) -> float:
    try:
        return float(text) if text else default
    except ValueError:
        raise faults.invalid(
            f"The value {text} for parameter Statistic is not supported."
        ) from None


def _of(points: Sequence[Point], compute: Callable[[Pairs], float | None]) -> float | None:
    held: dict[float, float] = {}
    for point in points:
        known = point.distribution()
        if known is None:
            return None  # a statistic set tells nothing of its values
        for value, count in known:
            held[value] = held.get(value, 0.0) + count
    pairs = sorted(p for p in held.items() if p[1] > 0)
    return compute(pairs) if pairs else None


def _percentile(pairs: Pairs, share: float) -> float:
    total = sum(count for _, count in pairs)
    seen = 0.0
    for value, count in pairs:
        seen += count
        if seen >= share * total - 1e-9:
            return value
    return pairs[-1][0]


def _trimmed(kind: str, low: float, high: float) -> Statistic:
    """Of the values between two shares of the ordered values."""

    def compute(pairs: Pairs) -> float | None:
        total = sum(count for _, count in pairs)
        if kind == "wm":
            least, most = _percentile(pairs, low) if low else pairs[0][0], _percentile(pairs, high)
            return sum(min(max(v, least), most) * c for v, c in pairs) / total
        held, seen = [], 0.0
        for value, count in pairs:
            part = min(seen + count, high * total) - max(seen, low * total)
            seen += count
            if part > 0:
                held.append((value, part))
        return _told(kind, held)

    return lambda points: _of(points, compute)


def _between(kind: str, low: float, high: float) -> Statistic:
    """Of the values above ``low`` and not above ``high``."""

    def compute(pairs: Pairs) -> float | None:
        held = [(v, c) for v, c in pairs if low < v <= high]
        if kind == "pr":
            return 100 * sum(c for _, c in held) / sum(c for _, c in pairs)
        return _told("tm" if kind == "wm" else kind, held)

    return lambda points: _of(points, compute)


def _told(kind: str, held: Pairs) -> float | None:
    count, total = sum(c for _, c in held), sum(v * c for v, c in held)
    if kind == "tc":
        return count
    if kind == "ts":
        return total
    return total / count if count else None
