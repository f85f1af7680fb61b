"""CloudWatch: metrics in the telemetry store, alarms and dashboards in the state."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.background import Background
from pileus.services.call import Call, Parts
from pileus.services.cloudwatch import (
    alarms,
    composite,
    dashboards,
    get_metric_data,
    get_metric_statistics,
    list_metrics,
    put_metric_alarm,
    put_metric_data,
    sweep,
    tags,
)
from pileus.services.cloudwatch.access import access
from pileus.services.cloudwatch.across import Across
from pileus.services.cloudwatch.actions import Actions
from pileus.services.cloudwatch.points import Points
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.watching import Watching
from pileus.services.service import Service
from pileus.telemetry.copies import Copies
from pileus.telemetry.everyone import Everyone

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "PutMetricData": put_metric_data.put_metric_data,
    "GetMetricData": get_metric_data.get_metric_data,
    "GetMetricStatistics": get_metric_statistics.get_metric_statistics,
    "ListMetrics": list_metrics.list_metrics,
    "PutMetricAlarm": put_metric_alarm.put_metric_alarm,
    "PutCompositeAlarm": composite.put_composite_alarm,
    "DescribeAlarms": alarms.describe_alarms,
    "DescribeAlarmsForMetric": alarms.describe_alarms_for_metric,
    "DescribeAlarmHistory": alarms.describe_alarm_history,
    "DeleteAlarms": alarms.delete_alarms,
    "SetAlarmState": alarms.set_alarm_state,
    "EnableAlarmActions": alarms.enable_alarm_actions,
    "DisableAlarmActions": alarms.disable_alarm_actions,
    "PutDashboard": dashboards.put_dashboard,
    "GetDashboard": dashboards.get_dashboard,
    "ListDashboards": dashboards.list_dashboards,
    "DeleteDashboards": dashboards.delete_dashboards,
    "TagResource": tags.tag_resource,
    "UntagResource": tags.untag_resource,
    "ListTagsForResource": tags.list_tags,
}


def build(parts: Parts) -> Service:
    """The service. One process of the cloud evaluates the alarms and runs their actions; on each
    node one makes old points coarser."""
    points = Points(parts.telemetry)
    everyone = Everyone(parts.others, parts.copies or Copies(parts.config.home))
    room = Room(parts.store, parts.clock, points, Across(points, everyone))
    watching, actions, sweeping = Watching(room), Actions(parts), Background()

    async def start() -> None:
        if parts.background:
            sweeping.begin(sweep.forever(room), "cloudwatch-sweep")

    async def begin() -> None:
        await watching.begin()
        actions.queue.start()

    async def cease() -> None:
        await watching.cease()
        await actions.queue.stop()

    operations = {name: partial(function, room) for name, function in OPERATIONS.items()}
    return Service(
        "cloudwatch",
        operations,
        access,
        start=start,
        stop=sweeping.end,
        begin=begin,
        cease=cease,
    )
