"""GetMetricData: several metrics and expressions over them, in one answer.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.services.call import Call, Incomplete
from pileus.services.cloudwatch import faults, paging, queries
from pileus.services.cloudwatch.mathematics import Series, Value
from pileus.services.cloudwatch.room import Room

DATAPOINTS_MAX = 100_800


async def get_metric_data(room: Room, call: Call) -> dict[str, Any]:
    """Newest first, unless ``ScanBy`` is TimestampAscending; at most ``MaxDatapoints`` numbers."""
    params = call.params
    checked = queries.check(params["MetricDataQueries"], call.place)
    start, end = float(params["StartTime"]), float(params["EndTime"])
    if start >= end:
        raise faults.validation("The parameter StartTime must be less than the parameter EndTime.")
    most = paging.size_of(params, "MaxDatapoints", DATAPOINTS_MAX, DATAPOINTS_MAX)
    points = await room.across.gather(queries.wanted(checked, start, end))
    held = await asyncio.to_thread(queries.compute, points, checked, start, end)
    results = [
        result
        for query in checked
        if query.returned
        for result in _results(query, held[query.id], params.get("ScanBy") or "")
    ]
    answer = _page(results, paging.place_of(params.get("NextToken")), most)
    if not points.missing:
        return answer
    for node, why in sorted(points.missing.items()):
        answer["Messages"].append({"Code": "NodeMissing", "Value": f"Without {node}: {why}."})
    return Incomplete(answer, points.missing)


def _results(query: queries.Query, value: Value, order: str) -> list[dict[str, Any]]:
    if isinstance(value, float):
        raise faults.validation(
            f"The expression '{query.id}' comes to a number: a time series is needed."
        )
    return [_result(query, s, order) for s in (value if isinstance(value, list) else [value])]


def _result(query: queries.Query, series: Series, order: str) -> dict[str, Any]:
    items = sorted(series.points.items(), reverse=order != "TimestampAscending")
    return {
        "Id": query.id,
        "Label": series.label,
        "Timestamps": [at for at, _ in items],
        "Values": [value for _, value in items],
        "StatusCode": "Complete",
    }


def _page(results: list[dict[str, Any]], first: int, most: int) -> dict[str, Any]:
    """The numbers from ``first`` on, at most ``most``; what goes on is told as partial."""
    at = 0
    for result in results:
        size = len(result["Values"])
        low = min(max(first - at, 0), size)
        high = min(max(first + most - at, 0), size)
        for name in ("Timestamps", "Values"):
            result[name] = result[name][low:high]
        if high < size:
            result["StatusCode"] = "PartialData"
        at += size
    answer: dict[str, Any] = {"MetricDataResults": results, "Messages": []}
    return answer | ({"NextToken": paging.token_of(first + most)} if at > first + most else {})
