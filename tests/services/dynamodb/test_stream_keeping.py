"""How long streams are kept: records for a day by the clock, iterators for fifteen minutes, shards
of streams that ended, marks of what the service deleted."""

from __future__ import annotations

from typing import Any

from pileus.state import keys
from tests.services.dynamodb.desk import Desk, at_desk

HOUR_MS = 3_600_000
Told = dict[str, Any]


async def table(desk: Desk, view: str = "NEW_AND_OLD_IMAGES") -> str:
    """A table with a stream; answers the stream's ARN."""
    name = await desk.table(
        "shop", "p:S", StreamSpecification={"StreamEnabled": True, "StreamViewType": view}
    )
    described = (await desk.DescribeTable(TableName=name))["Table"]
    return str(described["LatestStreamArn"])


async def put(desk: Desk, key: str, **more: Told) -> None:
    await desk.PutItem(TableName="shop", Item={"p": {"S": key}, **more})


async def shard(desk: Desk, arn: str) -> Told:
    (found,) = (await desk.DescribeStream(StreamArn=arn))["StreamDescription"]["Shards"]
    return dict(found)


async def iterator(desk: Desk, arn: str, kind: str = "TRIM_HORIZON", **more: str) -> str:
    shard_id = (await shard(desk, arn))["ShardId"]
    told = await desk.GetShardIterator(
        StreamArn=arn, ShardId=shard_id, ShardIteratorType=kind, **more
    )
    return str(told["ShardIterator"])


async def keys_of(desk: Desk, at: str, **more: int) -> list[str]:
    page = await desk.GetRecords(ShardIterator=at, **more)
    return [r["dynamodb"]["Keys"]["p"]["S"] for r in page["Records"]]


def test_records_are_trimmed_after_a_day() -> None:
    async def test(desk: Desk) -> None:
        arn = await table(desk)
        for key in "abc":
            await put(desk, key)
        records = (await desk.GetRecords(ShardIterator=await iterator(desk, arn)))["Records"]
        numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
        desk.clock.ahead_ms += 23 * HOUR_MS
        await put(desk, "d")
        early = await iterator(desk, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[0])
        await desk.chores.sweep()
        assert await keys_of(desk, early) == ["b", "c", "d"]
        desk.clock.ahead_ms += 1 * HOUR_MS + 60_000
        early = await iterator(desk, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[0])
        last = await iterator(desk, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[2])
        await desk.chores.sweep()
        assert await keys_of(desk, await iterator(desk, arn)) == ["d"]
        assert await keys_of(desk, last) == ["d"]
        refused = await desk.refused("GetRecords", ShardIterator=early)
        assert refused.code == "TrimmedDataAccessException"
        shard_id = (await shard(desk, arn))["ShardId"]
        for kind, number in (("AT", numbers[2]), ("AFTER", numbers[1])):
            refused = await desk.refused(
                "GetShardIterator",
                StreamArn=arn,
                ShardId=shard_id,
                ShardIteratorType=f"{kind}_SEQUENCE_NUMBER",
                SequenceNumber=number,
            )
            assert refused.code == "TrimmedDataAccessException"
        first = (await shard(desk, arn))["SequenceNumberRange"]["StartingSequenceNumber"]
        at = await iterator(desk, arn, "AT_SEQUENCE_NUMBER", SequenceNumber=first)
        assert await keys_of(desk, at) == ["d"]
        desk.clock.ahead_ms += 24 * HOUR_MS
        await desk.chores.sweep()
        newest = await iterator(desk, arn, "LATEST")
        assert await keys_of(desk, newest) == []
        await put(desk, "e")
        assert await keys_of(desk, newest) == ["e"]

    at_desk(test)


def test_an_iterator_lives_for_fifteen_minutes() -> None:
    async def test(desk: Desk) -> None:
        desk.clock.fixed_ms = desk.clock.now_ms()
        at = await iterator(desk, await table(desk))
        desk.clock.ahead_ms += 15 * 60_000 - 5000
        following = (await desk.GetRecords(ShardIterator=at))["NextShardIterator"]
        desk.clock.ahead_ms += 6000
        refused = await desk.refused("GetRecords", ShardIterator=at)
        assert refused.code == "ExpiredIteratorException"
        assert await keys_of(desk, following) == []

    at_desk(test)


def test_a_stream_switched_off_is_closed_and_forgotten_after_a_day() -> None:
    async def test(desk: Desk) -> None:
        arn = await table(desk)
        await put(desk, "a")
        off = {"StreamEnabled": False}
        await desk.UpdateTable(TableName="shop", StreamSpecification=off)
        await put(desk, "b")
        found = (await shard(desk, arn))["SequenceNumberRange"]
        assert found["EndingSequenceNumber"] >= found["StartingSequenceNumber"]
        page = await desk.GetRecords(ShardIterator=await iterator(desk, arn))
        assert len(page["Records"]) == 1
        page = await desk.GetRecords(ShardIterator=page["NextShardIterator"])
        assert page == {"Records": []}  # the end: no iterator goes on
        desk.clock.ahead_ms += 1000
        on = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        await desk.UpdateTable(TableName="shop", StreamSpecification=on)
        assert len((await desk.ListStreams(TableName="shop"))["Streams"]) == 2
        desk.clock.ahead_ms += 25 * HOUR_MS
        await desk.chores.sweep()
        (left,) = (await desk.ListStreams())["Streams"]
        assert left["StreamArn"] != arn
        assert (await desk.refused("DescribeStream", StreamArn=arn)).code == (
            "ResourceNotFoundException"
        )

    at_desk(test)


def test_a_deleted_tables_stream_can_be_read_for_a_day() -> None:
    async def test(desk: Desk) -> None:
        arn = await table(desk)
        await put(desk, "a")
        at = await iterator(desk, arn)
        await desk.DeleteTable(TableName="shop")
        desk.clock.ahead_ms += 1000
        again = await table(desk)
        await put(desk, "b")
        await desk.chores.settle()
        assert await keys_of(desk, at) == ["a"]
        assert await keys_of(desk, await iterator(desk, again)) == ["b"]
        listed = [s["StreamArn"] for s in (await desk.ListStreams())["Streams"]]
        assert listed == sorted([arn, again])
        desk.clock.ahead_ms += 25 * HOUR_MS
        await desk.chores.sweep()
        await desk.chores.settle()
        listed = [s["StreamArn"] for s in (await desk.ListStreams())["Streams"]]
        assert listed == [again]
        start = keys.table_prefix("changes")
        assert len(desk.store.range(start, keys.after_prefix(start))) == 0

    at_desk(test)


def test_what_time_to_live_deletes_is_marked_as_the_services() -> None:
    async def test(desk: Desk) -> None:
        arn = await table(desk)
        await desk.UpdateTimeToLive(
            TableName="shop",
            TimeToLiveSpecification={"Enabled": True, "AttributeName": "until"},
        )
        until = {"N": str(desk.clock.now_ms() // 1000 + 60)}
        await put(desk, "a", until=until)
        await put(desk, "b", until=until)
        await desk.DeleteItem(TableName="shop", Key={"p": {"S": "b"}})
        desk.clock.ahead_ms += 120_000
        await desk.chores.sweep()
        page = await desk.GetRecords(ShardIterator=await iterator(desk, arn))
        by_user, by_service = page["Records"][2:]
        assert by_user["eventName"] == by_service["eventName"] == "REMOVE"
        assert "userIdentity" not in by_user
        assert by_service["userIdentity"] == {
            "Type": "Service",
            "PrincipalId": "dynamodb.amazonaws.com",
        }
        assert by_service["dynamodb"]["OldImage"]["until"] == until

    at_desk(test)

    at_desk(test)
