"""Alarms as tests ask for them, some that go off when they are told to, and what became of their
actions."""

from __future__ import annotations

import time
from typing import Any

from tests.conftest import Cloud

WAIT_S = 80


def above(
    name: str, namespace: str, metric: str, threshold: float = 1.0, **more: Any
) -> dict[str, Any]:
    """What ``PutMetricAlarm`` is asked: one minute's sum of a metric is more than ``threshold``,
    but for what ``more`` says."""
    return {
        "AlarmName": name,
        "Namespace": namespace,
        "MetricName": metric,
        "Statistic": "Sum",
        "Period": 60,
        "EvaluationPeriods": 1,
        "Threshold": threshold,
        "ComparisonOperator": "GreaterThanThreshold",
        **more,
    }


def make_alarm(cloud: Cloud, name: str, **actions: list[str]) -> None:
    """One that changes its state only by ``SetAlarmState``."""
    told = above(name, "Boto/Told", "Nothing", TreatMissingData="ignore", **actions)
    cloud.client("cloudwatch").put_metric_alarm(**told)


def set_alarm(cloud: Cloud, name: str, state: str) -> None:
    told = {"AlarmName": name, "StateValue": state, "StateReason": "a drill"}
    cloud.client("cloudwatch").set_alarm_state(**told)


def outcomes(cloud: Cloud, alarm: str, count: int) -> list[str]:
    """The summaries of an alarm's actions, once there are so many."""
    deadline, found = time.monotonic() + WAIT_S, list[str]()
    while len(found) < count and time.monotonic() < deadline:
        time.sleep(0.3)
        told = cloud.client("cloudwatch").describe_alarm_history(
            AlarmName=alarm, HistoryItemType="Action"
        )
        found = [i["HistorySummary"] for i in told["AlarmHistoryItems"]]
    return found
