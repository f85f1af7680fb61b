"""Log lines of several nodes, read at any of them as if one had them all (L1)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pileus.services.call import Incomplete
from tests.services.logs.conftest import LogsAlone, opened
from tests.telemetry.neighbours import Neighbours


def three(
    tmp_path: Path, body: Callable[[list[LogsAlone], list[Neighbours]], Coroutine[Any, Any, None]]
) -> None:
    """Three services with stores of their own and one state."""

    async def whole() -> None:
        others: list[Neighbours] = []
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(opened(tmp_path / "n1", Neighbours(1, others)))
            nodes = [first]
            for number in (2, 3):
                near = Neighbours(number, others)
                home = tmp_path / f"n{number}"
                nodes.append(await stack.enter_async_context(opened(home, near, first.store)))
            await body(nodes, others)

    asyncio.run(whole())


def messages(answer: Any) -> list[str]:
    return [event["message"] for event in answer["events"]]


async def spread(nodes: list[LogsAlone], lines: int) -> list[str]:
    """Lines one millisecond apart, each written at the next node."""
    await nodes[0].made()
    told = []
    for i in range(lines):
        at = nodes[0].clock.ms + i
        event = {"timestamp": at, "message": f"line {i:03d}"}
        await nodes[i % 3]("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=[event])
        told.append(event["message"])
    return told


def test_every_node_tells_all_lines_in_order(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 9)
        for node in nodes:
            found = await node("FilterLogEvents", logGroupName="g")
            assert messages(found) == told
            assert len({event["eventId"] for event in found["events"]}) == 9
            by_stream = await node(
                "GetLogEvents", logGroupName="g", logStreamName="s", startFromHead=True
            )
            assert messages(by_stream) == told

    three(tmp_path, body)


def test_pages_lose_and_repeat_nothing(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 20)
        found: list[str] = []
        token: dict[str, str] = {}
        while True:  # each page is asked of another node
            node = nodes[len(found) % 3]
            page = await node("FilterLogEvents", logGroupName="g", limit=3, **token)
            found += messages(page)
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert found == told
        back: list[str] = []
        token = {}
        while True:
            page = await nodes[1](
                "GetLogEvents", logGroupName="g", logStreamName="s", limit=7, **token
            )
            if not page["events"]:
                break
            back = messages(page) + back
            token = {"nextToken": page["nextBackwardToken"]}
        assert back == told

    three(tmp_path, body)


def test_equal_times_on_several_nodes_are_each_told_once(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await nodes[0].made()
        for i, node in enumerate(nodes):
            await node.put(f"a{i}", f"b{i}")
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            page = await nodes[2]("FilterLogEvents", logGroupName="g", limit=1, **token)
            found += messages(page)
            if "nextToken" not in page:
                break
            token = {"nextToken": page["nextToken"]}
        assert sorted(found) == ["a0", "a1", "a2", "b0", "b1", "b2"]
        assert found[:3] == ["a0", "a1", "a2"]

    three(tmp_path, body)


def test_patterns_are_matched_where_the_lines_are(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await spread(nodes, 30)
        found = await nodes[0]("FilterLogEvents", logGroupName="g", filterPattern='"line 01"')
        assert messages(found) == [f"line {i:03d}" for i in range(10, 20)]

    three(tmp_path, body)


def test_a_lost_node_is_named_and_the_rest_is_told(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        told = await spread(nodes, 9)
        others[1].down = True
        found = await nodes[0]("FilterLogEvents", logGroupName="g")
        assert messages(found) == [line for i, line in enumerate(told) if i % 3 != 1]
        assert isinstance(found, Incomplete)
        assert found.missing == "n2"

    three(tmp_path, body)


def test_streams_and_groups_count_what_all_nodes_hold(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await spread(nodes, 9)
        (stream,) = (await nodes[1]("DescribeLogStreams", logGroupName="g"))["logStreams"]
        assert stream["lastEventTimestamp"] - stream["firstEventTimestamp"] == 8
        (group,) = (await nodes[2]("DescribeLogGroups"))["logGroups"]
        assert group["storedBytes"] == 9 * (len("line 000") + 26)

    three(tmp_path, body)


def test_a_stream_deleted_at_one_node_goes_from_the_others(tmp_path: Path) -> None:
    async def body(nodes: list[LogsAlone], others: list[Neighbours]) -> None:
        await spread(nodes, 9)
        await nodes[0]("DeleteLogStream", logGroupName="g", logStreamName="s")
        for node in nodes:
            await node.sweep()
            (group,) = (await node("DescribeLogGroups"))["logGroups"]
        assert group["storedBytes"] == 0

    three(tmp_path, body)
