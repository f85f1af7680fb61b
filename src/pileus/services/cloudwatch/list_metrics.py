"""ListMetrics: which metrics had points in the last two weeks (or three hours).

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_ListMetrics.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, Incomplete
from pileus.services.cloudwatch import paging
from pileus.services.cloudwatch.points import Metric
from pileus.services.cloudwatch.room import Room

PAGE = 500
RECENT_S, SHOWN_S = 3 * 3600, 14 * 86_400


async def list_metrics(room: Room, call: Call) -> dict[str, Any]:
    """A page of 500."""
    params = call.params
    age = RECENT_S if params.get("RecentlyActive") else SHOWN_S
    found, missing = await room.across.metrics(
        call.place,
        params.get("Namespace") or "",
        params.get("MetricName") or "",
        int(room.now_s()) - age,
    )
    wanted = [(d["Name"], d.get("Value")) for d in params.get("Dimensions") or ()]
    shown = [metric.shown() for metric in found if _has(metric, wanted)]
    page, token = paging.cut(shown, params.get("NextToken"), PAGE)
    answer = {"Metrics": page} | ({"NextToken": token} if token else {})
    return Incomplete(answer, missing) if missing else answer


def _has(metric: Metric, wanted: list[tuple[str, str | None]]) -> bool:
    held = dict(metric.dimensions)
    return all(name in held and value in (None, held[name]) for name, value in wanted)
