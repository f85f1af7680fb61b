"""GetMetricStatistics.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricStatistics.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, Incomplete
from pileus.services.cloudwatch import faults, shapes
from pileus.services.cloudwatch.across import Wanted
from pileus.services.cloudwatch.points import Point
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.statistics import SIMPLE, statistic

DATAPOINTS_MAX = 1440


async def get_metric_statistics(room: Room, call: Call) -> dict[str, Any]:
    """Periods that have points, in no order (here: of time)."""
    params = call.params
    simple, extended = params.get("Statistics") or [], params.get("ExtendedStatistics") or []
    if bool(simple) == bool(extended):
        raise faults.combination("Specify exactly one of Statistics and ExtendedStatistics.")
    for name in simple:
        if name not in SIMPLE:
            raise faults.invalid(f"The value {name} for parameter Statistics is not supported.")
    compute = {name: statistic(name) for name in (*simple, *extended)}
    period = shapes.period(int(params["Period"]))
    start, end = float(params["StartTime"]), float(params["EndTime"])
    if start >= end:
        raise faults.invalid("The parameter StartTime must be less than the parameter EndTime.")
    first = int(start) // min(period, 60) * min(period, 60)
    if (end - start) / period > DATAPOINTS_MAX:
        raise faults.combination(
            f"You have requested up to {-(-int(end - start) // period)} datapoints, which exceeds"
            f" the limit of {DATAPOINTS_MAX}. You may reduce the datapoints requested by increasing"
            " Period, or decreasing the time range."
        )
    metric = shapes.metric(call.place, params)
    unit = shapes.unit(params.get("Unit"))
    last = -int(-end // 1)
    held = await room.across.gather([Wanted(metric, first, last)])
    points = held.read(metric, first, last, unit)
    shown = []
    for (at, _), group in sorted(_groups(points, first, period).items()):
        values = {name: f(group) for name, f in compute.items()}
        point: dict[str, Any] = {n: values[n] for n in simple}
        if extended:
            known = {n: values[n] for n in extended if values[n] is not None}
            if not known:
                continue
            point["ExtendedStatistics"] = known
        shown.append({"Timestamp": at, "Unit": group[0].unit, **point})
    answer = {"Label": metric.name, "Datapoints": shown}
    return Incomplete(answer, held.missing) if held.missing else answer


def _groups(points: list[Point], first: int, period: int) -> dict[tuple[int, str], list[Point]]:
    """Points by the beginning of their period and their unit."""
    groups: dict[tuple[int, str], list[Point]] = {}
    for point in points:
        at = first + (point.at - first) // period * period
        groups.setdefault((at, point.unit), []).append(point)
    return groups
