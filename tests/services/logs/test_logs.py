"""Groups, streams and events through the operations."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pileus.errors import AwsError

DAY_MS = 86_400_000


def test_groups_list_in_order_and_pages(run: Any) -> None:
    async def body(logs: Any) -> None:
        for name in ("/b/2", "/a", "/b/1", "/b/3"):
            await logs("CreateLogGroup", logGroupName=name, tags={"k": name})
        page = await logs("DescribeLogGroups", logGroupNamePrefix="/b", limit=2)
        assert [g["logGroupName"] for g in page["logGroups"]] == ["/b/1", "/b/2"]
        rest = await logs("DescribeLogGroups", logGroupNamePrefix="/b", nextToken=page["nextToken"])
        assert [g["logGroupName"] for g in rest["logGroups"]] == ["/b/3"]
        assert "nextToken" not in rest
        assert rest["logGroups"][0]["arn"] == (
            "arn:aws:logs:us-east-1:123456789012:log-group:/b/3:*"
        )
        named = await logs("DescribeLogGroups", logGroupNamePattern="A")
        assert [g["logGroupName"] for g in named["logGroups"]] == ["/a"]
        with pytest.raises(AwsError, match="already exists"):
            await logs("CreateLogGroup", logGroupName="/a")
        with pytest.raises(AwsError, match="regular expression"):
            await logs("CreateLogGroup", logGroupName="a b")

    run(body)


def test_get_events_pages_both_ways(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made()
        await logs.put(*[f"m{i}" for i in range(10)])
        stream = {"logGroupName": "g", "logStreamName": "s"}

        async def get(**more: Any) -> tuple[list[str], dict[str, Any]]:
            answer = await logs("GetLogEvents", **stream, **more)
            return [e["message"] for e in answer["events"]], answer

        newest, answer = await get(limit=3)
        assert newest == ["m7", "m8", "m9"]
        older, _ = await get(limit=3, nextToken=answer["nextBackwardToken"])
        assert older == ["m4", "m5", "m6"]
        none, end = await get(limit=3, nextToken=answer["nextForwardToken"])
        assert none == [] and end["nextForwardToken"] == answer["nextForwardToken"]
        await logs.put("late")
        logs.clock.ms += 1000
        await logs.put("later")
        more, _ = await get(nextToken=answer["nextForwardToken"])
        assert more == ["later"]
        first, _ = await get(limit=2, startFromHead=True)
        assert first[0] == "m0"
        ranged, _ = await get(startTime=1_700_000_000_003, endTime=1_700_000_000_005)
        assert ranged == ["m3", "m4"]
        with pytest.raises(AwsError, match="nextToken is invalid"):
            await get(nextToken="f/12")

    run(body)


def test_filter_over_streams(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made(stream="a1")
        for stream in ("a2", "b1"):
            await logs("CreateLogStream", logGroupName="g", logStreamName=stream)
        for i in range(4):
            for stream in ("a1", "a2", "b1"):
                await logs.put(f"{'ERROR' if i % 2 else 'INFO'} {stream} {i}", stream=stream)
            logs.clock.ms += 10

        async def found(**params: Any) -> list[str]:
            out, token = [], None
            while True:
                more = {"nextToken": token} if token else {}
                answer = await logs("FilterLogEvents", logGroupName="g", **params, **more)
                out += [e["message"] for e in answer["events"]]
                token = answer.get("nextToken")
                if not token:
                    return out

        assert await found(filterPattern="ERROR", logStreamNamePrefix="a", limit=1) == [
            "ERROR a1 1", "ERROR a2 1", "ERROR a1 3", "ERROR a2 3",
        ]  # fmt: skip
        assert await found(logStreamNames=["b1"], startTime=1_700_000_000_020) == [
            "INFO b1 2", "ERROR b1 3",
        ]  # fmt: skip
        assert await found(endTime=1_700_000_000_000, logStreamNames=["b1"]) == ["INFO b1 0"]
        with pytest.raises(AwsError, match="log stream does not exist"):
            await found(logStreamNames=["zz"])

    run(body)


def test_put_rejects_by_age_and_order(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made()
        now = logs.clock.ms

        async def put(*stamps: int) -> Any:
            events = [{"timestamp": ts, "message": "x"} for ts in stamps]
            return await logs("PutLogEvents", logGroupName="g", logStreamName="s", logEvents=events)

        with pytest.raises(AwsError, match="chronological order"):
            await put(now, now - 1)
        with pytest.raises(AwsError, match="span more than"):
            await put(now - DAY_MS - 1, now)
        assert (await put(now, now + 3 * 3_600_000))["rejectedLogEventsInfo"] == {
            "tooNewLogEventStartIndex": 1
        }
        assert (await put(now - 15 * DAY_MS))["rejectedLogEventsInfo"] == {
            "tooOldLogEventEndIndex": 1
        }
        await logs("PutRetentionPolicy", logGroupName="g", retentionInDays=3)
        assert (await put(now - 4 * DAY_MS))["rejectedLogEventsInfo"] == {
            "expiredLogEventEndIndex": 1
        }
        kept = await logs("GetLogEvents", logGroupName="g", logStreamName="s")
        assert [e["timestamp"] for e in kept["events"]] == [now]

    run(body)


def test_streams_order_by_last_event(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made(stream="old")
        await logs("CreateLogStream", logGroupName="g", logStreamName="empty")
        await logs("CreateLogStream", logGroupName="g", logStreamName="new")
        await logs.put("a", stream="old")
        logs.clock.ms += 5
        await logs.put("b", "c", stream="new")
        page = await logs(
            "DescribeLogStreams",
            logGroupName="g",
            orderBy="LastEventTime",
            descending=True,
            limit=2,
        )
        assert [s["logStreamName"] for s in page["logStreams"]] == ["new", "old"]
        assert page["logStreams"][0]["lastEventTimestamp"] == logs.clock.ms + 1
        by_name = await logs("DescribeLogStreams", logGroupName="g", descending=True)
        assert [s["logStreamName"] for s in by_name["logStreams"]] == ["old", "new", "empty"]

    run(body)


def test_deleted_group_leaves_nothing(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made()
        await logs.put("secret")
        await logs("DeleteLogGroup", logGroupName="g")
        with pytest.raises(AwsError, match="log group does not exist"):
            await logs.put("x")
        await logs.made()
        empty = await logs("FilterLogEvents", logGroupName="g")
        assert empty["events"] == []
        room = logs.service.operations["PutLogEvents"].args[0]
        for _ in range(1500):  # the sweep was woken by the deletion
            await asyncio.sleep(0.02)
            if not room.events.bytes_by_group():
                break
        assert room.events.bytes_by_group() == {}

    run(body)


def test_retention_sweeps_old_events(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs.made()
        await logs.put("old")
        logs.clock.ms += 2 * DAY_MS
        await logs.put("new")
        await logs("PutRetentionPolicy", logGroupName="g", retentionInDays=1)
        for _ in range(1500):
            await asyncio.sleep(0.02)
            found = await logs("FilterLogEvents", logGroupName="g")
            if len(found["events"]) == 1:
                break
        assert [e["message"] for e in found["events"]] == ["new"]
        with pytest.raises(AwsError, match="retentionInDays"):
            await logs("PutRetentionPolicy", logGroupName="g", retentionInDays=2)

    run(body)


def test_a_group_is_named_by_its_arn_without_an_asterisk(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs("CreateLogGroup", logGroupName="g")
        await logs("CreateLogStream", logGroupName="g", logStreamName="s")
        (group,) = (await logs("DescribeLogGroups"))["logGroups"]
        asked = {"logStreamName": "s", "logGroupIdentifier": group["logGroupArn"]}
        assert (await logs("GetLogEvents", **asked))["events"] == []
        with pytest.raises(AwsError, match=r"regular expression pattern: \[\\w#\+=/:,\.@-\]\*"):
            await logs("GetLogEvents", **asked | {"logGroupIdentifier": group["arn"]})

    run(body)


def test_tags_by_both_apis(run: Any) -> None:
    async def body(logs: Any) -> None:
        await logs("CreateLogGroup", logGroupName="g", tags={"a": "1"})
        arn = "arn:aws:logs:us-east-1:123456789012:log-group:g"
        await logs("TagResource", resourceArn=arn, tags={"b": "2"})
        assert (await logs("ListTagsLogGroup", logGroupName="g"))["tags"] == {"a": "1", "b": "2"}
        await logs("UntagLogGroup", logGroupName="g", tags=["a"])
        assert (await logs("ListTagsForResource", resourceArn=arn))["tags"] == {"b": "2"}

    run(body)
