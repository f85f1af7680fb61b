"""PutMetricData: values, statistic sets, values with counts.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricData.html
"""

from __future__ import annotations

import math
from typing import Any

from pileus.services.call import Call
from pileus.services.cloudwatch import faults, shapes
from pileus.services.cloudwatch.points import Metric, Point
from pileus.services.cloudwatch.room import Room

DATA_MAX = 1000
VALUES_MAX = 150
PAST_S, FUTURE_S = 14 * 86_400, 2 * 3600
VALUE_MAX = 2.0**360


def put_metric_data(room: Room, call: Call) -> None:
    """All of it or nothing."""
    params = call.params
    if params.get("EntityMetricData"):
        raise faults.invalid("EntityMetricData is not offered: put the metrics in MetricData.")
    data = params.get("MetricData")
    if not data:
        raise faults.missing("MetricData")
    if len(data) > DATA_MAX:
        raise faults.invalid(f"The collection MetricData must not have a size above {DATA_MAX}.")
    namespace = shapes.namespace(params["Namespace"], writing=True)
    now_s = room.now_s()
    points = []
    for number, datum in enumerate(data, 1):
        where = f"MetricData.member.{number}"
        name = shapes.metric_name(datum["MetricName"], f"{where}.MetricName")
        dimensions = shapes.dimensions(datum.get("Dimensions"), f"{where}.Dimensions")
        metric = Metric(call.place, namespace, name, dimensions)
        points.append((metric, _point(datum, where, now_s)))
    room.points.put(points)


def _point(datum: dict[str, Any], where: str, now_s: float) -> Point:
    span = datum.get("StorageResolution") or 60
    if span not in (1, 60):
        raise faults.invalid(f"The parameter {where}.StorageResolution must be 1 or 60.")
    at_s = float(datum.get("Timestamp") or now_s)
    if not now_s - PAST_S <= at_s <= now_s + FUTURE_S:
        raise faults.invalid(
            f"The parameter {where}.Timestamp must specify a time within the past two weeks and no"
            " more than two hours in the future."
        )
    at, unit = int(at_s) // span * span, shapes.unit(datum.get("Unit")) or "None"
    kinds = [k for k in ("Value", "Values", "StatisticValues") if datum.get(k) is not None]
    if len(kinds) > 1:
        raise faults.combination(
            f"The parameters {where}.{kinds[0]} and {where}.{kinds[1]} are mutually exclusive and"
            " you have specified both."
        )
    if not kinds:
        raise faults.missing(f"{where}.Value")
    if kinds[0] == "Value":
        value = _number(datum["Value"], f"{where}.Value")
        return Point(at, span, 1.0, value, value, value, unit)
    if kinds[0] == "Values":
        return _values(datum, where, at, span, unit)
    return _set(datum["StatisticValues"], f"{where}.StatisticValues", at, span, unit)


def _values(datum: dict[str, Any], where: str, at: int, span: int, unit: str) -> Point:
    values = [_number(v, f"{where}.Values") for v in datum["Values"]]
    counts = [_number(c, f"{where}.Counts") for c in datum.get("Counts") or [1.0] * len(values)]
    if not 1 <= len(values) <= VALUES_MAX:
        raise faults.invalid(f"The collection {where}.Values must have 1 to {VALUES_MAX} members.")
    if len(counts) != len(values) or min(counts) < 0:
        raise faults.invalid(
            f"The parameters {where}.Values and {where}.Counts must be of the same size."
        )
    held: dict[float, float] = {}
    for value, count in zip(values, counts, strict=True):
        held[value] = held.get(value, 0.0) + count
    total = sum(v * c for v, c in held.items())
    pairs = tuple(sorted(held.items()))
    return Point(at, span, sum(counts), total, min(values), max(values), unit, pairs)


def _set(told: dict[str, Any], where: str, at: int, span: int, unit: str) -> Point:
    names = ("SampleCount", "Sum", "Minimum", "Maximum")
    count, total, least, most = (_number(told[n], f"{where}.{n}") for n in names)
    if count <= 0:
        raise faults.invalid(f"The value {count} for parameter {where}.SampleCount is invalid.")
    if least > most:
        raise faults.invalid(f"{where}.Minimum must not be greater than {where}.Maximum.")
    return Point(at, span, count, total, least, most, unit)


def _number(value: float, where: str) -> float:
    if math.isnan(value) or abs(value) > VALUE_MAX:
        raise faults.invalid(f"The value {value} for parameter {where} is invalid.")
    return float(value)
