"""A table written under older rules and gone on with under newer ones."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pileus.assembly import RULES
from pileus.errors import AwsError
from pileus.state import entry
from pileus.state.store import Store
from pileus.state.verify import verify
from pileus.state.versions import RuleBook
from tests.services.dynamodb.desk import Desk, TestClock, index
from tests.services.dynamodb.test_index_keys import OF_INDEX, UPDATE
from tests.services.dynamodb.test_nesting import DEEP, nested

REMOVE = {"UpdateExpression": "REMOVE x"}


async def take_away(desk: Desk, name: str) -> None:
    """From items that are not there, each way there is."""
    legacy = {"AttributeUpdates": {"x": {"Action": "DELETE"}}}
    for way, update in (("plain", REMOVE), ("legacy", legacy)):
        await desk.UpdateItem(TableName="tab", Key={"p": {"S": f"{name} {way}"}}, **update)
    key = {"p": {"S": f"{name} together"}}
    await desk.TransactWriteItems(
        TransactItems=[{"Update": {"TableName": "tab", "Key": key, **REMOVE}}]
    )


def test_updates_that_take_away_mean_what_they_meant_when_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def under(rules: RuleBook, name: str, make: bool = False) -> list[str]:
        store = await Store.open(tmp_path, rules, TestClock())
        try:
            desk = Desk(store, TestClock())
            if make:
                await desk.table("tab", "p:S")
            await take_away(desk, name)
            found = (await desk.Scan(TableName="tab"))["Items"]
            assert store.tablets.rules == rules.version
            return sorted(item["p"]["S"] for item in found)
        finally:
            await store.close()

    made = ["before legacy", "before plain", "before together"]
    with monkeypatch.context() as earlier:
        earlier.setattr(entry, "RULES_VERSION", 2)
        assert asyncio.run(under(RuleBook(RULES.at(2), version=2), "before", make=True)) == made
    assert asyncio.run(under(RULES, "after")) == made

    report = verify(tmp_path, RULES)
    assert report.ok and report.base == 0 and report.entries >= 8, report


INDEXES = [index("bys", "s")]
LOCAL = [index("byl", "p", "l")]
VIEW = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
SETS: dict[str, Any] = {"p": {"S": "sets"}, "v": {"M": {"x": {"SS": ["a", "b"]}}}}
OTHER: dict[str, Any] = {"p": {"S": "sets"}, "v": {"M": {"x": {"SS": ["b", "a"]}}}}


async def work_out(desk: Desk) -> list[str]:
    """What is said of updates whose outcome only the item tells, plain and in transactions."""
    told = []
    lengthy = {"bare": {"S": ""}, "lengthy": {"S": "x" * 2049}, "deep": nested(32), "m": {"M": {}}}
    await desk.PutItem(TableName="tab", Item={"p": {"S": "a"}, **lengthy})
    for text in ("SET s = bare", "SET s = lengthy", "SET m.a = deep"):
        update = {"TableName": "tab", "Key": {"p": {"S": "a"}}, "UpdateExpression": text}
        for operation, asked in (
            ("UpdateItem", update),
            ("TransactWriteItems", {"TransactItems": [{"Update": update}]}),
        ):
            try:
                await getattr(desk, operation)(**asked)
                told.append("done")
            except AwsError as error:
                reasons = error.fields.get("CancellationReasons", [{}])
                told.append(reasons[0].get("Message", error.message))
    return told


async def grow_together(desk: Desk) -> list[tuple[str, str]]:
    """What is said of an item that is too large with its entry in a local index, once it has one:
    by an update, and in transactions by an update and a put."""
    half = {"p": {"S": "a"}, "r": {"S": "r"}, "v": {"S": "x" * 205 * 1024}}
    await desk.PutItem(TableName="both", Item=half)
    key = {"TableName": "both", "Key": {"p": {"S": "a"}, "r": {"S": "r"}}}
    update = {**key, "UpdateExpression": "SET l = r"}
    put = {"TableName": "both", "Item": {**half, "l": {"S": "r"}}}
    error = await desk.refused("UpdateItem", **update)
    told = [(error.code, error.message)]
    for operation in ({"Update": update}, {"Put": put}):
        error = await desk.refused("TransactWriteItems", TransactItems=[operation])
        (reason,) = error.fields["CancellationReasons"]
        told.append((reason["Code"], reason["Message"]))
    return told


async def put_again(desk: Desk) -> int:
    """How many changes the stream shows of an item put anew each way there is, its sets in another
    order each time."""
    for item, operation in zip((SETS, OTHER) * 3, range(6), strict=True):
        put = {"TableName": "tab", "Item": item}
        if operation < 2:
            await desk.PutItem(**put)
        elif operation < 4:
            await desk.TransactWriteItems(TransactItems=[{"Put": put}])
        else:
            await desk.BatchWriteItem(RequestItems={"tab": [{"PutRequest": {"Item": item}}]})
    update = {"TableName": "tab", "Key": {"p": {"S": "sets"}}, "UpdateExpression": "SET v = :v"}
    await desk.UpdateItem(**update, ExpressionAttributeValues={":v": SETS["v"]})
    arn = (await desk.DescribeTable(TableName="tab"))["Table"]["LatestStreamArn"]
    (shard,) = (await desk.DescribeStream(StreamArn=arn))["StreamDescription"]["Shards"]
    where = {"StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON"}
    iterator = (await desk.GetShardIterator(**where))["ShardIterator"]
    records = (await desk.GetRecords(ShardIterator=iterator))["Records"]
    return sum(r["dynamodb"]["Keys"] == {"p": {"S": "sets"}} for r in records)


def test_what_version_5_changed_is_as_it_was_in_entries_of_version_4(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def under(rules: RuleBook, home: Path, make: bool = False) -> tuple[Any, Any, int]:
        store = await Store.open(home, rules, TestClock())
        try:
            desk = Desk(store, TestClock())
            if make:
                more = {"GlobalSecondaryIndexes": INDEXES, "StreamSpecification": VIEW}
                await desk.table("tab", "p:S", also=("s:S",), **more)
                await desk.table("both", "p:S", "r:S", also=("l:S",), LocalSecondaryIndexes=LOCAL)
            told = await work_out(desk), await grow_together(desk), await put_again(desk)
            assert store.tablets.rules == rules.version
            return told
        finally:
            await store.close()

    with monkeypatch.context() as earlier:
        earlier.setattr(entry, "RULES_VERSION", 4)
        before, large, shown = asyncio.run(
            under(RuleBook(RULES.at(4), version=4), tmp_path, make=True)
        )
    assert shown == 7  # the item's making, and six changes
    assert "IndexName: bys, IndexKey: s" in before[0] and "of2048 bytes" in before[2]
    assert before[::2] == before[1::2] and before[4] == "done"  # one level more than now

    size = "Item size {0}has exceeded the maximum allowed size".format
    assert large == [("ValidationException", size("")), *[("Validation", size(""))] * 2]

    after, large, shown = asyncio.run(under(RULES, tmp_path))
    words = (UPDATE.format("string"), f"{OF_INDEX} beyond allowed size limits", DEEP)
    assert after == [word for word in words for _ in range(2)]
    assert shown == 7  # and none since
    update = size("to update ")
    reasons = [("ValidationError", update), ("ValidationError", size(""))]
    assert large == [("ValidationException", update), *reasons]
    assert asyncio.run(under(RULES, tmp_path / "new", make=True)) == (after, large, 1)

    report = verify(tmp_path, RULES)
    assert report.ok and report.base == 0 and report.entries >= 25, report
