"""Alarms that go off when they are told to, and what became of their actions."""

from __future__ import annotations

import time

from tests.conftest import Cloud

WAIT_S = 80


def make_alarm(cloud: Cloud, name: str, **actions: list[str]) -> None:
    """One that changes its state only by ``SetAlarmState``."""
    cloud.client("cloudwatch").put_metric_alarm(
        AlarmName=name,
        Namespace="Boto/Told",
        MetricName="Nothing",
        Statistic="Sum",
        Period=60,
        EvaluationPeriods=1,
        Threshold=1,
        ComparisonOperator="GreaterThanThreshold",
        TreatMissingData="ignore",
        **actions,
    )


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
