"""Which permission each operation needs, on which ARN.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatch.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Access, Call
from pileus.services.cloudwatch import rows

_ONE_ALARM = ("PutMetricAlarm", "PutCompositeAlarm", "SetAlarmState")
_ALARMS = ("DeleteAlarms", "EnableAlarmActions", "DisableAlarmActions", "DescribeAlarms")


def access(call: Call) -> list[Access]:
    """One permission for each resource named."""
    action = f"cloudwatch:{call.operation}"
    context = _context(call)
    return [Access(action, resource, context=context) for resource in _resources(call)]


def _resources(call: Call) -> list[str]:
    params, where, operation = call.params, call.place, call.operation
    if operation in _ONE_ALARM:
        return [rows.alarm_arn(where, params["AlarmName"])]
    if operation in _ALARMS:
        return [rows.alarm_arn(where, n) for n in params.get("AlarmNames") or ["*"]]
    if operation == "DescribeAlarmHistory":
        return [rows.alarm_arn(where, params.get("AlarmName") or "*")]
    if operation in ("GetDashboard", "PutDashboard"):
        return [rows.dashboard_arn(where, params["DashboardName"])]
    if operation == "DeleteDashboards":
        return [rows.dashboard_arn(where, n) for n in params["DashboardNames"]]
    if "ResourceARN" in params:
        return [params["ResourceARN"]]
    return ["*"]


def _context(call: Call) -> dict[str, Any]:
    context: dict[str, Any] = {}
    if call.operation == "PutMetricData":
        context["cloudwatch:namespace"] = call.params["Namespace"]
    tags = call.params.get("Tags")
    if tags:
        context |= {f"aws:RequestTag/{t['Key']}": t["Value"] for t in tags}
        context["aws:TagKeys"] = [t["Key"] for t in tags]
    return context
