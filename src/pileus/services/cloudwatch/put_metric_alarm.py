"""PutMetricAlarm.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutMetricAlarm.html
"""

from __future__ import annotations

import re
from typing import Any

from pileus.services.call import Call
from pileus.services.cloudwatch import faults, queries, rows, shapes
from pileus.services.cloudwatch.room import Room
from pileus.services.cloudwatch.rows import Alarm
from pileus.services.cloudwatch.statistics import SIMPLE, statistic
from pileus.state.draft import Draft

OPERATORS = (
    "GreaterThanOrEqualToThreshold",
    "GreaterThanThreshold",
    "LessThanThreshold",
    "LessThanOrEqualToThreshold",
)
TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
ACTIONS_MAX = 5
SPAN_S_MAX = 7 * 86_400
_NOT_OFFERED = (
    *("ThresholdMetricId", "EvaluationWindow", "WarmUpConfiguration", "EvaluationCriteria"),
    *("EvaluationInterval", "ActionConfiguration"),
)
_ACTION = re.compile(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:[a-z0-9-]*:\S{1,900}\Z")
_KEPT = (
    *("AlarmName", "AlarmDescription", "OKActions", "AlarmActions", "InsufficientDataActions"),
    *("MetricName", "Namespace", "Statistic", "ExtendedStatistic", "Dimensions", "Period", "Unit"),
    *("EvaluationPeriods", "DatapointsToAlarm", "Threshold", "ComparisonOperator"),
    *("TreatMissingData", "EvaluateLowSampleCountPercentile", "Metrics"),
)


async def put_metric_alarm(room: Room, call: Call) -> None:
    """Make or change an alarm. A changed one keeps its state until it is evaluated anew."""
    params = call.params
    check_name(params["AlarmName"])
    _check(params, call.place)
    kept = {n: params[n] for n in _KEPT if params.get(n) is not None}
    await put(room, call, rows.METRIC, kept)


async def put(room: Room, call: Call, kind: str, kept: dict[str, Any]) -> None:
    """Write the alarm's row and the history's item."""
    where, name = call.place, kept["AlarmName"]
    now_ms = room.clock.now_ms()
    actions = {n: kept.get(n) or [] for n in rows.ACTIONS.values()}
    for listed in actions.values():
        check_actions(listed)
    enabled = call.params.get("ActionsEnabled")

    def change(draft: Draft) -> None:
        old: Alarm | None = draft.get_json(rows.alarm_key(where, name))
        if old is not None and old["kind"] != kind:
            raise faults.validation(f"An alarm of another type is already called {name}.")
        state = {n: old[n] for n in _STATE if n in old} if old else _fresh(now_ms)
        new = {
            **kept,
            **actions,
            **state,
            "kind": kind,
            "place": where,
            "AlarmArn": rows.alarm_arn(where, name),
            "ActionsEnabled": enabled is not False,
            "AlarmConfigurationUpdatedTimestamp": now_ms / 1000,
            "tags": old["tags"] if old else tags_of(call.params),
        }
        draft.put_json(rows.alarm_key(where, name), new)
        told = f'Alarm "{name}" {"updated" if old else "created"}'
        data = {"version": "1.0", "type": "Update" if old else "Create"}
        rows.note(draft, new, now_ms, "ConfigurationUpdate", told, data)

    await room.store.transact(change, call.invocation_id)


_STATE = (
    *("StateValue", "StateReason", "StateReasonData", "StateUpdatedTimestamp"),
    "StateTransitionedTimestamp",
)


def _fresh(now_ms: int) -> dict[str, Any]:
    return {
        "StateValue": rows.INSUFFICIENT,
        "StateReason": "Unchecked: Initial alarm creation",
        "StateReasonData": None,
        "StateUpdatedTimestamp": now_ms / 1000,
        "StateTransitionedTimestamp": now_ms / 1000,
    }


def check_name(name: str) -> None:
    if not 1 <= len(name) <= 255 or not name.isprintable():
        raise faults.validation("AlarmName must be 1 to 255 characters.")


def check_actions(actions: list[str]) -> None:
    """At most five; each an ARN or a webhook's address."""
    if len(actions) > ACTIONS_MAX:
        raise faults.validation(f"An alarm may have at most {ACTIONS_MAX} actions for a state.")
    for action in actions:
        if not action.startswith(("https://", "http://")) and not _ACTION.match(action):
            raise faults.validation(f"Invalid arn syntax: {action}")


def tags_of(params: dict[str, Any]) -> dict[str, str]:
    return {t["Key"]: t["Value"] for t in params.get("Tags") or ()}


def _check(p: dict[str, Any], where: str) -> None:
    for name in _NOT_OFFERED:
        if p.get(name) is not None:
            raise faults.invalid(f"The parameter {name} is not offered here.")
    for name in ("EvaluationPeriods", "Threshold", "ComparisonOperator"):
        if p.get(name) is None:
            raise faults.missing(name)
    if p["ComparisonOperator"] not in OPERATORS:
        raise faults.invalid(f"The comparison {p['ComparisonOperator']} is not offered here.")
    if p.get("TreatMissingData", "missing") not in TREATMENTS:
        raise faults.invalid(f"The value {p['TreatMissingData']} for TreatMissingData is invalid.")
    count = p["EvaluationPeriods"]
    if count < 1 or not 1 <= p.get("DatapointsToAlarm", count) <= count:
        raise faults.validation(
            "DatapointsToAlarm must be at least 1 and not greater than EvaluationPeriods."
        )
    period = _check_metrics(p, where) if p.get("Metrics") else _check_metric(p, where)
    if period * count > SPAN_S_MAX:
        raise faults.validation("EvaluationPeriods times Period must not exceed seven days.")


def _check_metric(p: dict[str, Any], where: str) -> int:
    for name in ("MetricName", "Namespace", "Period"):
        if p.get(name) is None:
            raise faults.missing(name)
    shapes.metric(where, p)
    shapes.unit(p.get("Unit"))
    if bool(p.get("Statistic")) == bool(p.get("ExtendedStatistic")):
        raise faults.combination("Specify exactly one of Statistic and ExtendedStatistic.")
    if p.get("Statistic") and p["Statistic"] not in SIMPLE:
        raise faults.invalid(f"The value {p['Statistic']} for parameter Statistic is invalid.")
    statistic(p.get("Statistic") or p["ExtendedStatistic"])
    return check_period(int(p["Period"]))


def check_period(period: int) -> int:
    shapes.period(period)
    if period < 10:
        raise faults.validation("Period must be 10, 20, 30 or a multiple of 60.")
    return period


def _check_metrics(p: dict[str, Any], where: str) -> int:
    """Expressions: exactly one query returns data. Answers its period."""
    for name in ("MetricName", "Namespace", "Period", "Statistic", "Dimensions"):
        if p.get(name):
            raise faults.combination(f"Metrics and {name} are mutually exclusive.")
    checked = queries.check(p["Metrics"], where)
    if sum(q.returned for q in checked) != 1:
        raise faults.validation("Exactly one element of the metrics list should return data.")
    periods = [check_period(q.period) for q in checked if q.metric is not None]
    if not periods:
        raise faults.validation("An alarm's expression needs at least one metric.")
    return max(periods)
