"""Is a metric alarm to alarm? M of N periods, and what is missing.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html
"""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.services.cloudwatch import queries, rows
from pileus.services.cloudwatch.across import Reader, Wanted
from pileus.services.cloudwatch.mathematics import Series
from pileus.services.cloudwatch.rows import ALARM, INSUFFICIENT, OK, Alarm

EXTRA_PERIODS = 2  # looked at beyond EvaluationPeriods, for points to take instead of missing ones
_COMPARE = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanThreshold": (operator.lt, "less than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
}
Verdict = tuple[str, str, str | None]  # state, reason, reason data
Dots = Sequence["bool | None"]  # newest first: breaching, not breaching, missing


def period_of(alarm: Alarm) -> int:
    """The alarm's period; of expressions the longest of their metrics."""
    if alarm.get("Metrics"):
        return max(int(q["MetricStat"]["Period"]) for q in alarm["Metrics"] if q.get("MetricStat"))
    return int(alarm["Period"])


def decide(dots: Dots, needed: int, periods: int, treatment: str) -> str | None:
    """The state that the dots of the evaluation range come to; None: the present one stays."""
    real = [dot for dot in dots if dot is not None]
    if len(real) >= periods:
        return ALARM if sum(real[:periods]) >= needed else OK
    breaching, lacking = sum(real), periods - len(real)
    if treatment == "breaching":
        return ALARM if breaching + lacking >= needed else OK
    if treatment == "notBreaching" or breaching >= needed:
        return ALARM if breaching >= needed else OK
    if len(real) > breaching:
        return OK
    if treatment == "ignore":
        return None
    if not real:
        return INSUFFICIENT
    # Only breaching points, too few: an old one with nothing after it alarms all the same
    # ("premature alarm state" in the guide).
    oldest = max(age for age, dot in enumerate(dots, 1) if dot)
    return ALARM if oldest >= needed else None


def wanted(alarm: Alarm, now_s: float) -> list[Wanted]:
    """The points that ``evaluate`` will read."""
    return queries.wanted(_queries(alarm), *_span(alarm, now_s))


def _span(alarm: Alarm, now_s: float) -> tuple[int, int]:
    period = period_of(alarm)
    end = int(now_s) // period * period
    return end - (int(alarm["EvaluationPeriods"]) + EXTRA_PERIODS) * period, end


def evaluate(alarm: Alarm, points: Reader, now_s: float) -> Verdict | None:
    """The verdict of this moment; None: the state stays. Blocking."""
    period, periods = period_of(alarm), int(alarm["EvaluationPeriods"])
    start, end = _span(alarm, now_s)
    series = _series(alarm, points, start, end)
    times = [end - (i + 1) * period for i in range(periods + EXTRA_PERIODS)]
    compare, _ = _COMPARE[alarm["ComparisonOperator"]]
    threshold = float(alarm["Threshold"])
    held = series.points
    dots = [compare(held[at], threshold) if at in held else None for at in times]
    needed = int(alarm.get("DatapointsToAlarm") or periods)
    treatment = alarm.get("TreatMissingData") or "missing"
    state = decide(dots, needed, periods, treatment)
    if state is None:
        return None
    known = [(at, held[at]) for at in times if at in held][:periods]
    data = _data(alarm, period, known, start, now_s)
    return state, _reason(alarm, state, known, needed, periods), data


def _queries(alarm: Alarm) -> list[queries.Query]:
    told = alarm.get("Metrics") or [
        {
            "Id": "m1",
            "MetricStat": {
                "Metric": {n: alarm.get(n) for n in ("Namespace", "MetricName", "Dimensions")},
                "Period": alarm["Period"],
                "Stat": alarm.get("Statistic") or alarm["ExtendedStatistic"],
                "Unit": alarm.get("Unit"),
            },
        }
    ]
    return queries.check(told, alarm["place"])


def _series(alarm: Alarm, points: Reader, start: int, end: int) -> Series:
    checked = _queries(alarm)
    computed = queries.compute(points, checked, start, end)
    (value,) = [computed[q.id] for q in checked if q.returned]
    if isinstance(value, Series):
        return value
    held: Mapping[int, float] = {}
    if isinstance(value, list) and len(value) == 1:
        held = value[0].points
    return Series("", "", period_of(alarm), held, start, end)


def _reason(
    alarm: Alarm, state: str, known: list[tuple[int, float]], needed: int, periods: int
) -> str:
    if state == INSUFFICIENT:
        what = "data point was" if periods == 1 else "data points were"
        return f"Insufficient Data: {periods} {what} unknown."
    compare, words = _COMPARE[alarm["ComparisonOperator"]]
    threshold = float(alarm["Threshold"])
    if not known:
        treated = "Breaching" if alarm.get("TreatMissingData") == "breaching" else "NonBreaching"
        return (
            f"Threshold Crossed: no datapoints were received for {periods}"
            f" period{'s' if periods > 1 else ''} and {periods} missing"
            f" datapoint{'s were' if periods > 1 else ' was'} treated as [{treated}]."
        )
    chosen = [k for k in known if compare(k[1], threshold) is (state == ALARM)] or known
    shown = ", ".join(
        f"{v} ({datetime.fromtimestamp(at, UTC):%d/%m/%y %H:%M:%S})" for at, v in chosen
    )
    verb = "were" if len(chosen) > 1 else "was"
    negated = "" if state == ALARM else "not "
    return (
        f"Threshold Crossed: {len(chosen)} out of the last {periods} datapoint"
        f"{'s' if periods > 1 else ''} [{shown}] {verb} {negated}{words} the threshold"
        f" ({threshold}) (minimum {needed} datapoint{'s' if needed > 1 else ''} for"
        f" {'OK -> ALARM' if state == ALARM else 'ALARM -> OK'} transition)."
    )


def _data(
    alarm: Alarm, period: int, known: list[tuple[int, float]], start: int, now_s: float
) -> str:
    told: dict[str, Any] = {
        "version": "1.0",
        "queryDate": _iso(now_s),
        "startDate": _iso(known[-1][0] if known else start),
        "statistic": alarm.get("Statistic") or alarm.get("ExtendedStatistic"),
        "period": period,
        "recentDatapoints": [v for _, v in reversed(known)],
        "threshold": alarm["Threshold"],
        "evaluatedDatapoints": [{"timestamp": _iso(at), "value": v} for at, v in known],
    }
    return orjson.dumps({k: v for k, v in told.items() if v is not None}).decode()


def _iso(at_s: float) -> str:
    return f"{datetime.fromtimestamp(at_s, UTC):%Y-%m-%dT%H:%M:%S}.000+0000"


def changed(alarm: Alarm, verdict: Verdict | None) -> bool:
    """Is there anything to write?"""
    return verdict is not None and verdict[0] != alarm["StateValue"] and verdict[0] in rows.STATES
