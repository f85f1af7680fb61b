"""Metrics in, statistics out."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.cloudwatch.points import DAY_S, Metric, Point, Points
from pileus.telemetry import Telemetry
from tests.beds import Run
from tests.services.cloudwatch.conftest import CloudWatchAlone


async def _statistics(cloud: CloudWatchAlone, *names: str, **more: Any) -> list[dict[str, Any]]:
    asked = {
        "Namespace": "Test",
        "MetricName": "Load",
        "StartTime": cloud.now_s - 600,
        "EndTime": cloud.now_s + 60,
        "Period": 60,
        "Statistics": list(names),
        **more,
    }
    return list((await cloud("GetMetricStatistics", **asked))["Datapoints"])


def test_values_of_a_minute_are_one_datapoint(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        for value in (1.0, 2.0, 6.0):
            await cloud.value(value, Unit="Seconds", Timestamp=cloud.now_s - 20 + value)
        (point,) = await _statistics(cloud, "Average", "Sum", "Minimum", "Maximum", "SampleCount")
        assert point == {
            "Timestamp": cloud.now_s - 60,
            "Unit": "Seconds",
            **{"Average": 3.0, "Sum": 9.0, "Minimum": 1.0, "Maximum": 6.0, "SampleCount": 3.0},
        }

    run(body)


def test_statistic_sets_and_values_with_counts(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        told = {"SampleCount": 4.0, "Sum": 20.0, "Minimum": 1.0, "Maximum": 11.0}
        data = [
            {"MetricName": "Load", "StatisticValues": told},
            {"MetricName": "Load", "Values": [5.0, 7.0], "Counts": [3.0, 1.0]},
            {"MetricName": "Own", "Values": [5.0, 7.0, 100.0], "Counts": [90.0, 9.0, 1.0]},
        ]
        await cloud("PutMetricData", Namespace="Test", MetricData=data)
        (point,) = await _statistics(cloud, "Sum", "SampleCount", "Maximum")
        assert (point["Sum"], point["SampleCount"], point["Maximum"]) == (42, 8, 11)
        assert await _statistics(cloud, ExtendedStatistics=["p90"]) == []
        (own,) = await _statistics(
            cloud, MetricName="Own", ExtendedStatistics=["p50", "p95", "p100", "tm90", "IQM"]
        )
        extended = {"p50": 5, "p95": 7, "p100": 100, "tm90": 5, "IQM": 5}
        assert own["ExtendedStatistics"] == extended

    run(body)


def test_dimensions_name_a_metric_in_any_order_and_wholly(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        a, b = {"Name": "A", "Value": "1"}, {"Name": "B", "Value": "2"}
        await cloud.value(4.0, Dimensions=[b, a])
        (point,) = await _statistics(cloud, "Sum", Dimensions=[a, b])
        assert point["Sum"] == 4
        assert await _statistics(cloud, "Sum", Dimensions=[a]) == []
        assert await _statistics(cloud, "Sum") == []
        listed = await cloud("ListMetrics", Dimensions=[{"Name": "A"}])
        assert listed["Metrics"] == [
            {"Namespace": "Test", "MetricName": "Load", "Dimensions": [a, b]}
        ]
        assert (await cloud("ListMetrics", Dimensions=[{"Name": "A", "Value": "9"}]))[
            "Metrics"
        ] == []

    run(body)


@pytest.mark.parametrize(
    ("datum", "code"),
    [
        ({"MetricName": "x"}, "MissingParameter"),
        ({"MetricName": "x", "Value": float("nan")}, "InvalidParameterValue"),
        ({"MetricName": "x", "Value": 1.0, "Unit": "Furlongs"}, "InvalidParameterValue"),
        ({"MetricName": "x", "Value": 1.0, "Values": [1.0]}, "InvalidParameterCombination"),
        ({"MetricName": "x", "Values": [1.0], "Counts": [1.0, 2.0]}, "InvalidParameterValue"),
        ({"MetricName": "x", "Value": 1.0, "Timestamp": 1_600_000_000}, "InvalidParameterValue"),
        ({"MetricName": "x", "Value": 1.0, "StorageResolution": 7}, "InvalidParameterValue"),
        ({"MetricName": "", "Value": 1.0}, "InvalidParameterValue"),
    ],
)
def test_data_that_is_refused(run: Run[CloudWatchAlone], datum: dict[str, Any], code: str) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        good = {"MetricName": "good", "Value": 1.0}
        with pytest.raises(AwsError) as refused:
            await cloud("PutMetricData", Namespace="Test", MetricData=[good, datum])
        assert refused.value.code == code
        assert (await cloud("ListMetrics"))["Metrics"] == []  # nothing of it was taken

    run(body)


def test_the_clouds_own_namespaces_are_not_written_by_callers(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        data = [{"MetricName": "Errors", "Value": 0.0}]
        with pytest.raises(AwsError, match="Namespace"):
            await cloud("PutMetricData", Namespace="AWS/Lambda", MetricData=data)

    run(body)


def test_old_points_are_merged_and_the_oldest_forgotten(tmp_path: Any) -> None:
    telemetry = Telemetry.open(tmp_path)
    points = Points(telemetry)
    metric = Metric("1/r", "N", "m")
    now = 1_700_000_000 // 3600 * 3600
    old = now - 20 * DAY_S
    for at in range(old, old + 600, 60):
        points.put([(metric, Point(at, 60, 1, 2.0, 2.0, 2.0))])
    points.put([(metric, Point(now - 4 * 3600 + i, 1, 1, i, i, i)) for i in range(60)])
    points.put([(metric, Point(now - 460 * DAY_S, 60, 1, 1.0, 1.0, 1.0))])
    points.flush()
    points.sweep(now)
    points.flush()
    merged = points.read(metric, old, old + 600)
    assert [(p.span, p.count, p.sum) for p in merged] == [(300, 5, 10), (300, 5, 10)]
    (minute,) = points.read(metric, now - 4 * 3600, now)
    assert (minute.count, minute.least, minute.most) == (60, 0, 59)
    assert points.read(metric, 0, now - 450 * DAY_S) == []
    telemetry.close()
