"""GetMetricData: metrics, and expressions over them."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import AwsError
from tests.beds import Run
from tests.services.cloudwatch.conftest import CloudWatchAlone


def _metric(name: str, id_: str, **more: Any) -> dict[str, Any]:
    metric = {"Namespace": "Test", "MetricName": name}
    return {"Id": id_, "MetricStat": {"Metric": metric, "Period": 60, "Stat": "Sum"}, **more}


async def _series(cloud: CloudWatchAlone, expression: str) -> list[float | None]:
    """The expression over a = 1 2 - 4, b = 10 20 30 40 (a minute each), by minute."""
    start = cloud.now_s - 240
    queries = [
        _metric("a", "a", ReturnData=False),
        _metric("b", "b", ReturnData=False),
        {"Id": "e", "Expression": expression},
    ]
    told = await cloud(
        "GetMetricData", MetricDataQueries=queries, StartTime=start, EndTime=start + 240
    )
    (result,) = told["MetricDataResults"]
    held = dict(zip(result["Timestamps"], result["Values"], strict=True))
    return [held.get(start + i * 60) for i in range(4)]


async def _fill(cloud: CloudWatchAlone) -> None:
    for i, (a, b) in enumerate([(1.0, 10.0), (2.0, 20.0), (None, 30.0), (4.0, 40.0)]):
        at = cloud.now_s - 240 + 60 * i
        if a is not None:
            await cloud.value(a, "a", Timestamp=at)
        await cloud.value(b, "b", Timestamp=at)


@pytest.mark.parametrize(
    ("expression", "told"),
    [
        ("a + b", [11, 22, None, 44]),
        ("b - a * 2 ^ 2", [6, 12, None, 24]),
        ("-(a / 0)", [None] * 4),
        ("SUM([a, b])", [11, 22, 30, 44]),
        ("SUM(METRICS())", [11, 22, 30, 44]),
        ('AVG(METRICS("b"))', [10, 20, 30, 40]),
        ("a / SUM(b) * 100", [1, 2, None, 4]),
        ("MAX([a, 3 * a])", [3, 6, None, 12]),
        ("RATE(b)", [None, 1 / 6, 1 / 6, 1 / 6]),
        ("DIFF(a)", [None, 1, None, 2]),
        ("FILL(a, 0) + b", [11, 22, 30, 44]),
        ("FILL(a, REPEAT)", [1, 2, 2, 4]),
        ("FILL(a, LINEAR)", [1, 2, 3, 4]),
        ("FILL(a, b)", [1, 2, 30, 4]),
        ("IF(b > 20, b, 0)", [0, 0, 30, 40]),
        ("b > 10 AND b < 40", [0, 1, 1, 0]),
        ("RUNNING_SUM(b)", [10, 30, 60, 100]),
        ("b / PERIOD(b)", [1 / 6, 1 / 3, 1 / 2, 2 / 3]),
        ("ABS(0 - b)", [10, 20, 30, 40]),
        ("TIME_SERIES(7)", [7, 7, 7, 7]),
    ],
)
def test_expressions(run: Run[CloudWatchAlone], expression: str, told: list[float | None]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _fill(cloud)
        assert await _series(cloud, expression) == [
            v if v is None else pytest.approx(v) for v in told
        ]

    run(body)


@pytest.mark.parametrize(
    "expression", ["a +", "a b", "nosuch", "SEARCH('x', 'Sum', 60)", "SUM(b)", "e", "(" * 200 + "a"]
)
def test_expressions_that_are_none(run: Run[CloudWatchAlone], expression: str) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _fill(cloud)
        with pytest.raises(AwsError) as refused:
            await _series(cloud, expression)
        assert refused.value.code == "ValidationError"

    run(body)


def test_a_page_goes_on_where_the_last_one_ended(run: Run[CloudWatchAlone]) -> None:
    async def body(cloud: CloudWatchAlone) -> None:
        await _fill(cloud)
        asked = {
            "MetricDataQueries": [_metric("a", "a"), _metric("b", "b")],
            "StartTime": cloud.now_s - 240,
            "EndTime": cloud.now_s,
            "MaxDatapoints": 5,
        }
        first = await cloud("GetMetricData", **asked)
        assert [r["Values"] for r in first["MetricDataResults"]] == [[4, 2, 1], [40, 30]]
        assert first["MetricDataResults"][1]["StatusCode"] == "PartialData"
        second = await cloud("GetMetricData", **asked, NextToken=first["NextToken"])
        assert [r["Values"] for r in second["MetricDataResults"]] == [[], [20, 10]]
        assert "NextToken" not in second
        with pytest.raises(AwsError, match="token"):
            await cloud("GetMetricData", **asked, NextToken="made up")

    run(body)
