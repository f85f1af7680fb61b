"""Data points of several nodes, read and watched at any of them as if one had them all (L2)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pileus.nodes.handing import Handing
from pileus.services.call import MISSING, Incomplete
from pileus.services.cloudwatch import sweep
from pileus.services.cloudwatch.points import KEPT_S
from tests.services.alarms import above
from tests.services.cloudwatch.conftest import REGION, ROOT, CloudWatchAlone, opened
from tests.telemetry.neighbours import Neighbours

HOT = above("hot", "Test", "Load", 5.0)
Body = Callable[[list[CloudWatchAlone], list[Neighbours]], Coroutine[Any, Any, None]]


def three(tmp_path: Path, body: Body) -> None:
    """Three services with stores of their own and one state."""

    async def whole() -> None:
        others: list[Neighbours] = []
        nodes: list[CloudWatchAlone] = []
        async with AsyncExitStack() as stack:
            for number in (1, 2, 3):
                near, home = Neighbours(number, others), tmp_path / f"n{number}"
                first = nodes[0] if nodes else None
                nodes.append(await stack.enter_async_context(opened(home, near, first)))
            await body(nodes, others)

    asyncio.run(whole())


def _span(node: CloudWatchAlone) -> dict[str, int]:
    return {"StartTime": node.now_s - 60, "EndTime": node.now_s + 60}


async def _data(node: CloudWatchAlone, stat: str) -> Any:
    metric = {"Namespace": "Test", "MetricName": "Load"}
    query = {"Id": "m", "MetricStat": {"Metric": metric, "Period": 60, "Stat": stat}}
    return await node("GetMetricData", MetricDataQueries=[query], **_span(node))


def test_statistics_are_of_all_nodes_points(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        for value, node in zip((1.0, 2.0, 6.0), nodes, strict=True):
            await node.value(value)
        for node in nodes:
            for stat, told in (("Sum", 9.0), ("Maximum", 6.0), ("p50", 2.0), ("SampleCount", 3.0)):
                answer = await _data(node, stat)
                assert answer["MetricDataResults"][0]["Values"] == [told]
                assert answer["Messages"] == []
            (point,) = (
                await node(
                    "GetMetricStatistics",
                    Namespace="Test",
                    MetricName="Load",
                    Period=60,
                    Statistics=["Average"],
                    **_span(node),
                )
            )["Datapoints"]
            assert point["Average"] == 3.0

    three(tmp_path, body)


def test_values_with_counts_come_whole_from_another_node(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        datum = {"MetricName": "Load", "Values": [1.0, 5.0], "Counts": [9.0, 1.0]}
        await nodes[1]("PutMetricData", Namespace="Test", MetricData=[datum])
        answer = await _data(nodes[0], "p95")
        assert answer["MetricDataResults"][0]["Values"] == [5.0]

    three(tmp_path, body)


def test_metrics_of_all_nodes_are_listed_once(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        for node, name in zip(nodes, ("Both", "Both", "Only"), strict=True):
            await node.value(1.0, name, Dimensions=[{"Name": "d", "Value": "x"}])
        for node in nodes:
            told = (await node("ListMetrics", Namespace="Test"))["Metrics"]
            assert [metric["MetricName"] for metric in told] == ["Both", "Only"]
            assert told[1]["Dimensions"] == [{"Name": "d", "Value": "x"}]

    three(tmp_path, body)


def test_a_lost_node_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        for node in nodes:
            await node.value(1.0)
        others[2].down = True
        answer = await _data(nodes[0], "Sum")
        assert answer["MetricDataResults"][0]["Values"] == [2.0]
        assert [m["Value"] for m in answer["Messages"]] == ["Without n3: it is down."]
        assert isinstance(answer, Incomplete)
        assert answer.missing == "n3", MISSING

    three(tmp_path, body)


def test_an_alarm_sees_what_all_nodes_took(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        await nodes[0]("PutMetricAlarm", **HOT)
        for node in nodes:
            await node.value(2.0)  # six together, at no node more than five
        nodes[0].clock.ms += 62_000
        await nodes[1].watching.turn()
        assert await nodes[2].state("hot") == "ALARM"

    three(tmp_path, body)


def test_an_alarm_is_told_without_a_node_that_stays_silent(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        await nodes[0]("PutMetricAlarm", **HOT)
        for node in nodes:
            await node.value(2.0)
        others[2].late = True
        began_ms = nodes[0].clock.ms = nodes[0].clock.ms + 62_000
        await nodes[0].watching.turn()
        assert nodes[0].clock.ms - began_ms > 3000  # it was asked again
        (alarm,) = (await nodes[1]("DescribeAlarms", AlarmNames=["hot"]))["MetricAlarms"]
        assert alarm["StateValue"] == "OK"
        assert alarm["StateReason"].endswith("Without the data points of n3.")

    three(tmp_path, body)


def test_a_lost_nodes_points_are_told_from_its_neighbours_copy(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        nodes[0].clock.ms = int(time.time() * 1000)  # what is copied is of the last hours
        datum = {"MetricName": "Load", "Values": [1.0, 5.0], "Counts": [9.0, 1.0]}
        await nodes[2]("PutMetricData", Namespace="Test", MetricData=[datum])
        await nodes[2].value(1.0, "Only")
        mine = Handing(others[2], nodes[2].parts.copies)  # type: ignore[arg-type]
        await mine.turn()
        await nodes[2].value(2.0)
        at_ms = int(time.time() * 1000)  # it was lost before it handed over: nothing is missing
        await mine.turn()
        others[2].down, others[2].since_ms = True, at_ms
        for node in nodes[:2]:  # the neighbour of the last is the first
            answer = await _data(node, "Sum")
            assert answer["MetricDataResults"][0]["Values"] == [16.0]
            assert answer["Messages"] == []
            assert (await _data(node, "p95"))["MetricDataResults"][0]["Values"] == [5.0]
            told = (await node("ListMetrics", Namespace="Test"))["Metrics"]
            assert [metric["MetricName"] for metric in told] == ["Load", "Only"]

    three(tmp_path, body)


def test_each_node_forgets_its_own_old_points_and_its_copies(tmp_path: Path) -> None:
    async def body(nodes: list[CloudWatchAlone], others: list[Neighbours]) -> None:
        nodes[0].clock.ms = int(time.time() * 1000)
        await nodes[2].value(1.0)
        await Handing(others[2], nodes[2].parts.copies).turn()  # type: ignore[arg-type]
        for node, stores in ((nodes[0], 2), (nodes[2], 1)):
            room = node.service.operations["GetMetricData"].args[0]  # type: ignore[attr-defined]
            held = list(room.across.stores())
            assert len(held) == stores
            await asyncio.to_thread(sweep.all_stores, room, node.now_s + KEPT_S + 86_400)
            for points in held:
                points.flush()
                assert points.metrics(f"{ROOT.account}/{REGION}") == []

    three(tmp_path, body)
