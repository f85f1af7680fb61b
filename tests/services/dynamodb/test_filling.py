"""Indexes that come and go on a live table (T4)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from pileus.services.dynamodb.filling import FILLING
from tests.services.dynamodb.desk import Desk, at_desk, index

COMPOSITE = {
    "IndexName": "wide",
    "KeySchema": [
        {"AttributeName": n, "KeyType": k}
        for n, k in (("a", "HASH"), ("b", "HASH"), ("n", "RANGE"), ("c", "RANGE"))
    ],
    "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["v"]},
}
DEFINED = [
    {"AttributeName": n, "AttributeType": t}
    for n, t in (("a", "S"), ("b", "S"), ("n", "N"), ("c", "S"))
]
ADD = {"AttributeDefinitions": DEFINED, "GlobalSecondaryIndexUpdates": [{"Create": COMPOSITE}]}
KINDS = {"a": "S", "b": "S", "n": "N", "c": "S"}


def some_item(dice: random.Random, key: int) -> dict[str, Any]:
    item: dict[str, Any] = {"p": {"S": str(key)}, "v": {"S": "v"}, "w": {"S": "not projected"}}
    for name, kind in KINDS.items():
        if dice.random() < 0.9:
            item[name] = {kind: str(dice.randrange(4))}
    return item


def entry(item: dict[str, Any]) -> dict[str, Any] | None:
    if not all(KINDS[n] in item.get(n, ()) for n in KINDS):
        return None
    return {n: v for n, v in item.items() if n != "w"}


async def everything(desk: Desk, **how: Any) -> list[dict[str, Any]]:
    items, more = [], {}
    while True:
        page = await desk.Scan(TableName="tab", **how, **more)
        items += page["Items"]
        if "LastEvaluatedKey" not in page:
            return sorted(items, key=lambda i: i["p"]["S"])
        more = {"ExclusiveStartKey": page["LastEvaluatedKey"]}


async def index_of(desk: Desk) -> dict[str, Any]:
    table = (await desk.DescribeTable(TableName="tab"))["Table"]
    (found,) = table["GlobalSecondaryIndexes"]
    return {"TableStatus": table["TableStatus"], **found}


async def check_index(desk: Desk) -> None:
    expected = [e for e in map(entry, await everything(desk)) if e]
    assert await everything(desk, IndexName="wide") == expected and expected


def test_writes_go_on_while_an_index_is_filled() -> None:
    async def main(desk: Desk) -> None:
        dice = random.Random(3)
        await desk.table("tab", "p:S")
        for key in range(700):
            await desk.PutItem(TableName="tab", Item=some_item(dice, key))
        await desk.UpdateTable(TableName="tab", **ADD)
        filling = asyncio.create_task(desk.chores.settle())
        while not filling.done():
            key = dice.randrange(800)
            if dice.random() < 0.7:
                await desk.PutItem(TableName="tab", Item=some_item(dice, key))
            else:
                await desk.DeleteItem(TableName="tab", Key={"p": {"S": str(key)}})
        await filling
        await check_index(desk)

    at_desk(main)


def test_what_is_shown_and_refused_meanwhile() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(TableName="tab", Item=some_item(random.Random(1), 1))
        shown = (await desk.UpdateTable(TableName="tab", **ADD))["TableDescription"]
        (made,) = shown["GlobalSecondaryIndexes"]
        assert shown["TableStatus"] == "UPDATING"
        assert (made["IndexStatus"], made["Backfilling"]) == ("CREATING", False)
        now = await index_of(desk)
        assert (now["TableStatus"], now["Backfilling"]) == ("UPDATING", False)
        delete = {"GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "wide"}}]}
        error = await desk.refused("UpdateTable", TableName="tab", **delete)
        assert error.code == "ResourceInUseException" and "allocation phase" in error.message
        other = [{"Create": index("other", "a")}]
        error = await desk.refused(
            "UpdateTable",
            TableName="tab",
            AttributeDefinitions=DEFINED,
            GlobalSecondaryIndexUpdates=other,
        )
        assert error.message.endswith("created or deleted simultaneously per table")
        error = await desk.refused("DeleteTable", TableName="tab")
        assert error.message == (
            "Attempt to change a resource which is still in use: Cannot delete table while indexes"
            " are being created, updated, or deleted."
        )
        table = desk.service_table("tab")
        await desk.chores._show(table, table.indexes[0], {"Backfilling": True})
        now = await index_of(desk)
        assert (now["TableStatus"], now["IndexStatus"], now["Backfilling"]) == (
            *("ACTIVE", "CREATING", True),
        )
        gone = (await desk.UpdateTable(TableName="tab", **delete))["TableDescription"]
        assert gone["TableStatus"] == "UPDATING"
        assert [i["IndexStatus"] for i in gone["GlobalSecondaryIndexes"]] == ["DELETING"]
        after = (await desk.DescribeTable(TableName="tab"))["Table"]
        assert "GlobalSecondaryIndexes" not in after
        assert [a["AttributeName"] for a in after["AttributeDefinitions"]] == ["p"]
        await desk.chores.settle()
        await desk.DeleteTable(TableName="tab")

    at_desk(main)


def test_a_fill_that_was_cut_off_goes_on_where_it_was() -> None:
    async def main(desk: Desk) -> None:
        dice = random.Random(9)
        await desk.table("tab", "p:S")
        for key in range(900):
            await desk.PutItem(TableName="tab", Item=some_item(dice, key))
        await desk.UpdateTable(TableName="tab", **ADD)
        table = desk.service_table("tab")
        args = [table.meta_key, table.id, table.indexes[0].rows]
        for _ in range(2):
            assert await desk.store.submit("dynamodb.fill", args)
        (place,) = desk.store.partition(FILLING, "filling")
        passed = desk.store.range(table.rows_prefix, place.value, 1000)
        assert len(passed) == 400  # bounded slices, each leaving where the next begins
        taken = []
        submit = desk.store.submit

        async def counted(rule: str, *rest: Any) -> Any:
            taken.append(rule)
            return await submit(rule, *rest)

        desk.store.submit = counted  # type: ignore[method-assign]
        await desk.chores.settle()  # as another process would, after the first one died
        assert taken.count("dynamodb.fill") == 3
        assert not desk.store.partition(FILLING, "filling")
        await check_index(desk)

    at_desk(main)


def test_large_items_make_short_slices() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for key in range(40):
            item = {**some_item(random.Random(1), key), "w": {"S": "w" * 100_000}}
            await desk.PutItem(TableName="tab", Item=item)
        await desk.UpdateTable(TableName="tab", **ADD)
        table = desk.service_table("tab")
        args = [table.meta_key, table.id, table.indexes[0].rows]
        slices = 1
        while await desk.store.submit("dynamodb.fill", args):
            slices += 1
        assert slices == 5

    at_desk(main)


def test_items_that_do_not_fit_are_left_out_and_stay_writable() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        whole = {"a": {"S": "a"}, "b": {"S": "b"}, "n": {"N": "1"}, "c": {"S": "c"}}
        wrong = (
            {"a": {"N": "1"}},
            {"b": {"S": ""}},
            {"a": {"S": "a" * 2048}},
            {"c": {"S": "c" * 1030}},
        )
        for key, more in enumerate(({}, *wrong)):
            await desk.PutItem(TableName="tab", Item={"p": {"S": str(key)}, **whole, **more})
        await desk.UpdateTable(TableName="tab", **ADD)
        await desk.chores.settle()
        (found,) = await everything(desk, IndexName="wide")
        assert found["p"] == {"S": "0"}
        for key in range(1, 5):
            one = {"TableName": "tab", "Key": {"p": {"S": str(key)}}}
            await desk.UpdateItem(**one, UpdateExpression="SET w = p")
            error = await desk.refused("UpdateItem", **one, UpdateExpression="SET a = n")
            assert error.code == "ValidationException"
            mend = "SET a = p, b = p, c = p"
            await desk.UpdateItem(**one, UpdateExpression=mend)
        assert len(await everything(desk, IndexName="wide")) == 5

    at_desk(main)


def test_an_index_comes_alone() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        told = {
            "DeletionProtectionEnabled": True,
            "TableClass": "STANDARD",
            "SSESpecification": {"Enabled": False},
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
            "WarmThroughput": {"ReadUnitsPerSecond": 20000, "WriteUnitsPerSecond": 20000},
        }
        for member, value in told.items():
            error = await desk.refused("UpdateTable", TableName="tab", **ADD, **{member: value})
            assert error.code == "ValidationException", member
        error = await desk.refused(
            "UpdateTable", TableName="tab", GlobalSecondaryIndexUpdates=[{"Create": COMPOSITE}]
        )
        assert error.message.endswith("AttributeDefinitions is not specified for index: wide")
        # What is defined stays as it is, whatever is said of it.
        again = [{"AttributeName": "p", "AttributeType": "N"}, *DEFINED]
        await desk.UpdateTable(TableName="tab", **{**ADD, "AttributeDefinitions": again})
        table = (await desk.DescribeTable(TableName="tab"))["Table"]
        assert {"AttributeName": "p", "AttributeType": "S"} in table["AttributeDefinitions"]

    at_desk(main)


def test_a_large_index_keeps_no_small_one_waiting() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for key in range(900):
            await desk.PutItem(TableName="tab", Item=some_item(random.Random(key), key))
        await desk.UpdateTable(TableName="tab", **ADD)
        large, go_on = desk.service_table("tab").indexes[0].rows, asyncio.Event()
        submit = desk.store.submit

        async def held_up(rule: str, args: Any, *rest: Any) -> Any:
            if rule == "dynamodb.fill" and args[2] == large:
                await go_on.wait()
            return await submit(rule, args, *rest)

        desk.store.submit = held_up  # type: ignore[method-assign]
        await desk.chores.fill()
        await desk.table("small", "p:S")
        await desk.UpdateTable(TableName="small", **ADD)
        await desk.chores.fill()
        await desk.chores._fills[desk.service_table("small").indexes[0].rows]
        assert desk.service_table("small").indexes[0].ready
        assert desk.service_table("tab").indexes[0].ready is False
        go_on.set()
        await desk.chores.settle()
        await check_index(desk)

    at_desk(main)
