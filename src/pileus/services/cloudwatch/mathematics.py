"""Metric math: what an expression comes to.

A value is a number, a series (time → number, with its period and label), or a list of series.
Two series meet at the times both have; a list and anything meet member by member.
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudwatch import expressions as tree
from pileus.services.cloudwatch import faults


@dataclass(frozen=True, slots=True)
class Series:
    """``points`` by time, in order. The span asked for is ``start`` to before ``end``."""

    id: str
    label: str
    period: int
    points: Mapping[int, float]
    start: int = 0
    end: int = 0

    def of(self, points: Mapping[int, float]) -> Series:
        return replace(self, points=points)


Value = float | Series | list[Series]
_SIGNS: dict[str, Callable[[float, float], float | None]] = {
    "+": lambda a, b: a + b,
    "-": lambda a, b: a - b,
    "*": lambda a, b: a * b,
    "/": lambda a, b: a / b if b else None,
    "^": lambda a, b: _power(a, b),
    "==": lambda a, b: float(a == b),
    "!=": lambda a, b: float(a != b),
    "<": lambda a, b: float(a < b),
    ">": lambda a, b: float(a > b),
    "<=": lambda a, b: float(a <= b),
    ">=": lambda a, b: float(a >= b),
    "&&": lambda a, b: float(bool(a) and bool(b)),
    "||": lambda a, b: float(bool(a) or bool(b)),
}
_EACH: dict[str, Callable[[float], float | None]] = {
    "ABS": abs,
    "CEIL": lambda v: float(math.ceil(v)),
    "FLOOR": lambda v: float(math.floor(v)),
    "LOG": lambda v: math.log(v) if v > 0 else None,
    "LOG10": lambda v: math.log10(v) if v > 0 else None,
}
_TOGETHER: dict[str, Callable[[Sequence[float]], float]] = {
    "SUM": lambda values: math.fsum(values),
    "AVG": lambda values: math.fsum(values) / len(values),
    "MIN": lambda values: min(values),
    "MAX": lambda values: max(values),
    "STDDEV": lambda values: statistics.pstdev(values),
}


def _power(a: float, b: float) -> float | None:
    try:
        told = a**b
    except (OverflowError, ZeroDivisionError):
        return None
    return told if isinstance(told, float) else None  # a complex one


class Calculation:
    """Evaluates trees over ``held`` series (by id, as far as computed)."""

    def __init__(self, held: Mapping[str, Value], metrics: Sequence[Series]) -> None:
        self._held = held
        self._metrics = metrics
        self._functions: dict[str, Callable[[tuple[tree.Node, ...]], Value]] = {
            "METRICS": self._all_metrics,
            "PERIOD": lambda a: float(self._one(a).period),
            "RATE": lambda a: self._map(self._value(a), _rate),
            "DIFF": lambda a: self._map(self._value(a), _diff),
            "DIFF_TIME": lambda a: self._map(self._value(a), _diff_time),
            "RUNNING_SUM": lambda a: self._map(self._value(a), _running),
            "DATAPOINT_COUNT": lambda a: float(len(self._one(a).points)),
            "FILL": self._fill,
            "IF": self._if,
            "TIME_SERIES": self._constant,
            "FIRST": lambda a: self._list(a)[0],
            "LAST": lambda a: self._list(a)[-1],
        }

    def value(self, node: tree.Node) -> Value:
        """What the tree comes to; ``ValidationError`` where that is nothing."""
        if isinstance(node, tree.Number):
            return node.value
        if isinstance(node, tree.Name):
            if node.value not in self._held:
                raise faults.validation(f"Unknown identifier {node.value!r} in an expression.")
            return self._held[node.value]
        if isinstance(node, tree.Array):
            return [s for member in node.members for s in _series(self.value(member))]
        if isinstance(node, tree.Operation):
            if len(node.operands) == 1:
                return _apply("*", -1.0, self.value(node.operands[0]))
            return _apply(node.sign, *map(self.value, node.operands))
        if isinstance(node, tree.Function):
            return self._function(node)
        raise faults.validation("A text stands where an expression needs a number.")

    def _function(self, node: tree.Function) -> Value:
        if node.name in _EACH:
            return self._map(self._value(node.arguments), _EACH[node.name])
        if node.name in _TOGETHER:
            return _together(self._value(node.arguments), _TOGETHER[node.name])
        known = self._functions.get(node.name)
        if known is None:
            raise AwsError(
                "ValidationError", f"The function {node.name} is not offered in expressions here."
            )
        return known(node.arguments)

    # -- arguments ---------------------------------------------------------------------------

    def _value(self, arguments: tuple[tree.Node, ...]) -> Value:
        if len(arguments) != 1:
            raise faults.validation("A function of an expression has another number of arguments.")
        return self.value(arguments[0])

    def _one(self, arguments: tuple[tree.Node, ...]) -> Series:
        found = self._list(arguments)
        if len(found) != 1:
            raise faults.validation("A function of an expression wants one time series.")
        return found[0]

    def _list(self, arguments: tuple[tree.Node, ...]) -> list[Series]:
        found = _series(self._value(arguments))
        if not found:
            raise faults.validation("A function of an expression wants a time series.")
        return found

    @staticmethod
    def _map(value: Value, change: Any) -> Value:
        """``change`` of each series, or of each number of each."""
        if isinstance(value, list):
            return [_mapped(s, change) for s in value]
        if isinstance(value, Series):
            return _mapped(value, change)
        told = change(value)
        return float("nan") if told is None else float(told)

    # -- functions ---------------------------------------------------------------------------

    def _all_metrics(self, arguments: tuple[tree.Node, ...]) -> Value:
        wanted = ""
        if arguments:
            if len(arguments) != 1 or not isinstance(arguments[0], tree.Text):
                raise faults.validation("METRICS takes nothing or one text.")
            wanted = arguments[0].value
        return [s for s in self._metrics if wanted in s.id]

    def _fill(self, arguments: tuple[tree.Node, ...]) -> Value:
        if len(arguments) != 2:
            raise faults.validation("FILL takes a metric and what to fill it with.")
        by = arguments[1]
        if isinstance(by, tree.Name) and by.value in ("REPEAT", "LINEAR"):
            filler: Any = by.value
        else:
            filler = self.value(by)
        return self._map(self.value(arguments[0]), _Filling(filler))

    def _if(self, arguments: tuple[tree.Node, ...]) -> Value:
        if len(arguments) not in (2, 3):
            raise faults.validation("IF takes a condition and one or two values.")
        condition, *rest = (self.value(a) for a in arguments)
        if not isinstance(condition, Series):
            raise faults.validation("The condition of IF must be a time series.")
        points: dict[int, float] = {}
        for at, held in condition.points.items():
            chosen = rest[0] if held else rest[1] if len(rest) == 2 else None
            told = chosen.points.get(at) if isinstance(chosen, Series) else chosen
            if isinstance(told, float | int):
                points[at] = float(told)
        return condition.of(points)

    def _constant(self, arguments: tuple[tree.Node, ...]) -> Value:
        value = self._value(arguments)
        if not isinstance(value, float):
            return value
        if not self._metrics:
            raise faults.validation("TIME_SERIES needs a metric in the same request.")
        like = self._metrics[0]
        return like.of({at: value for at in range(like.start, like.end, like.period)})


def _series(value: Value) -> list[Series]:
    if isinstance(value, float):
        raise faults.validation("A number stands where an expression needs a time series.")
    return value if isinstance(value, list) else [value]


def _apply(sign: str, left: Value, right: Value) -> Value:
    if isinstance(left, list):
        return [s for one in left for s in _series(_apply(sign, one, right))]
    if isinstance(right, list):
        return [s for one in right for s in _series(_apply(sign, left, one))]
    compute = _SIGNS[sign]
    if isinstance(left, Series):
        return _meet(left, right, compute)
    if isinstance(right, Series):
        return _meet(right, left, lambda a, b: compute(b, a))
    told = compute(left, right)
    return float("nan") if told is None else told


def _meet(
    left: Series, right: Series | float, compute: Callable[[float, float], float | None]
) -> Series:
    points = {}
    for at, value in left.points.items():
        other = right.points.get(at) if isinstance(right, Series) else right
        told = None if other is None else compute(value, other)
        if told is not None:
            points[at] = told
    return left.of(points)


def _together(value: Value, fold: Callable[[Sequence[float]], float]) -> Value:
    """Of a list, a series: at each time of those that have a number. Of one series, a number."""
    if isinstance(value, float):
        return fold([value])
    if isinstance(value, Series):
        return fold(list(value.points.values())) if value.points else float("nan")
    if not value:
        raise faults.validation("A function of an expression wants a time series.")
    times = sorted({at for s in value for at in s.points})
    return value[0].of({at: fold([s.points[at] for s in value if at in s.points]) for at in times})


def _mapped(series: Series, change: Any) -> Series:
    if change in _EACH.values():
        told = {at: change(v) for at, v in series.points.items()}
        return series.of({at: v for at, v in told.items() if v is not None})
    return series.of(change(series))


def _pairs(series: Series) -> list[tuple[int, float, int, float]]:
    items = list(series.points.items())
    return [(*a, *b) for a, b in pairwise(items)]


def _rate(series: Series) -> dict[int, float]:
    return {t: (v - before) / (t - at) for at, before, t, v in _pairs(series)}


def _diff(series: Series) -> dict[int, float]:
    return {t: v - before for _, before, t, v in _pairs(series)}


def _diff_time(series: Series) -> dict[int, float]:
    return {t: float(t - at) for at, _, t, _ in _pairs(series)}


def _running(series: Series) -> dict[int, float]:
    total, points = 0.0, {}
    for at, value in series.points.items():
        total += value
        points[at] = total
    return points


@dataclass(frozen=True, slots=True)
class _Filling:
    """FILL: numbers for the times without one."""

    by: Any

    def __call__(self, series: Series) -> dict[int, float]:
        held = series.points
        known = list(held)
        points: dict[int, float] = {}
        last: float | None = None
        for at in range(series.start, series.end, series.period):
            value = held.get(at)
            if value is None:
                value = self._missing(at, last, held, known)
            else:
                last = value
            if value is not None:
                points[at] = value
        return points

    def _missing(
        self, at: int, last: float | None, held: Mapping[int, float], known: list[int]
    ) -> float | None:
        if isinstance(self.by, Series):
            return self.by.points.get(at)
        if isinstance(self.by, float):
            return self.by
        if self.by == "REPEAT":
            return last
        before = [t for t in known if t < at]
        after = [t for t in known if t > at]
        if not before or not after:
            return None
        a, b = before[-1], after[0]
        return held[a] + (held[b] - held[a]) * (at - a) / (b - a)
