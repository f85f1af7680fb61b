"""Checks of names, dimensions, units and periods as the API reference gives their bounds."""

from __future__ import annotations

from typing import Any

from pileus.services.cloudwatch import faults
from pileus.services.cloudwatch.points import Metric

_SIZES = (
    *("Bytes", "Kilobytes", "Megabytes", "Gigabytes", "Terabytes"),
    *("Bits", "Kilobits", "Megabits", "Gigabits", "Terabits"),
)
_OTHERS = ("Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None")
UNITS = frozenset((*_OTHERS, *_SIZES, *(f"{size}/Second" for size in _SIZES)))
DIMENSIONS_MAX = 30
SHORT_PERIODS = (1, 5, 10, 20, 30)
_NAMESPACE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_/#: ")


def namespace(told: str, writing: bool = False) -> str:
    """A namespace; ``AWS/…`` is written by the cloud only."""
    if not 1 <= len(told) <= 255 or not set(told) <= _NAMESPACE or told.startswith(":"):
        raise faults.invalid(
            "The value for parameter Namespace contains invalid characters or is longer than 255."
        )
    if writing and told.startswith("AWS/"):
        raise faults.invalid("The value AWS/ for parameter Namespace is invalid.")
    return told


def metric_name(told: str, where: str = "MetricName") -> str:
    if not 1 <= len(told) <= 255 or not told.isprintable():
        raise faults.invalid(f"The value for parameter {where} must be 1 to 255 characters.")
    return told


def dimensions(told: list[dict[str, Any]] | None, where: str) -> tuple[tuple[str, str], ...]:
    """Sorted pairs; values of different names."""
    pairs = [(str(d["Name"]), str(d["Value"])) for d in told or ()]
    if len(pairs) > DIMENSIONS_MAX:
        raise faults.invalid(
            f"The collection {where} must not have a size greater than {DIMENSIONS_MAX}."
        )
    for name, value in pairs:
        if not 1 <= len(name) <= 255 or not 1 <= len(value) <= 1024 or name.startswith(":"):
            raise faults.invalid(f"A dimension of {where} has a name or value of wrong length.")
    if len({name for name, _ in pairs}) < len(pairs):
        raise faults.invalid(f"No two dimensions of {where} may have the same name.")
    return tuple(sorted(pairs))


def metric(place: str, told: dict[str, Any], where: str = "Dimensions") -> Metric:
    """The metric that ``Namespace``, ``MetricName`` and ``Dimensions`` name."""
    for name in ("Namespace", "MetricName"):
        if not told.get(name):
            raise faults.missing(name)
    return Metric(
        place,
        namespace(told["Namespace"]),
        metric_name(told["MetricName"]),
        dimensions(told.get("Dimensions"), where),
    )


def unit(told: str | None) -> str:
    if told is not None and told not in UNITS:
        raise faults.invalid(f"The value {told} for parameter Unit is invalid.")
    return told or ""


def period(told: int, where: str = "Period") -> int:
    """1, 5, 10, 20, 30, or any number of whole minutes."""
    if told not in SHORT_PERIODS and (told < 60 or told % 60):
        raise faults.invalid(
            f"The value {told} for parameter {where} is invalid: it must be 1, 5, 10, 20, 30 or a"
            " multiple of 60."
        )
    return told
