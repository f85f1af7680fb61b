"""Item collections: their bytes, what is reported of them, and their limit of 10 GB (T4)."""

from __future__ import annotations

import random
from typing import Any

import pytest

from pileus.services.dynamodb.values import item_size
from pileus.state import keys
from tests.services.dynamodb.desk import Desk, at_desk, index

LIMIT = 10 * 1024**3
TEXT = "Collection size exceeded."


async def collected(desk: Desk) -> str:
    """A table with two local indexes; the name of the state table of its collections' sizes."""
    await desk.table(
        "tab",
        "p:S",
        "s:S",
        also=("a:S", "b:N"),
        LocalSecondaryIndexes=[
            index("whole", "p", "a"),
            index("thin", "p", "b", projection="KEYS_ONLY"),
        ],
    )
    return desk.service_table("tab").sizes


def sizes(desk: Desk, state_table: str) -> dict[str, int]:
    prefix = keys.table_prefix(state_table)
    rows = desk.store.range(prefix, keys.after_prefix(prefix), 1000)
    return {keys.split(r.key)[1].decode(): int(r.value) for r in rows}


def weight(item: dict[str, Any]) -> int:
    """An item, its whole copy where it has ``a``, and its keys where it has ``b``."""
    thin = {n: v for n, v in item.items() if n in ("p", "s", "b")}
    return item_size(item) * (1 + ("a" in item)) + (item_size(thin) if "b" in item else 0)


def item(p: str, s: str, size: int = 10, **more: Any) -> dict[str, Any]:
    return {"p": {"S": p}, "s": {"S": s}, "v": {"S": "x" * size}, **more}


def test_the_bytes_are_those_of_items_and_entries() -> None:
    async def main(desk: Desk) -> None:
        state_table = await collected(desk)
        dice = random.Random(5)
        for step in range(300):
            key = {"p": {"S": dice.choice("abc")}, "s": {"S": dice.choice("wxyz")}}
            more: dict[str, Any] = {"a": {"S": "ä"}} if dice.random() < 0.5 else {}
            if dice.random() < 0.5:
                more["b"] = {"N": str(dice.randrange(1000))}
            new = {**item("", "", dice.randrange(50), **more), **key}
            match dice.randrange(5):
                case 0:
                    await desk.PutItem(TableName="tab", Item=new)
                case 1:
                    await desk.DeleteItem(TableName="tab", Key=key)
                case 2:
                    await desk.UpdateItem(
                        TableName="tab",
                        Key=key,
                        UpdateExpression="SET v = :v REMOVE a",
                        ExpressionAttributeValues={":v": new["v"]},
                    )
                case 3:
                    await desk.BatchWriteItem(RequestItems={"tab": [{"PutRequest": {"Item": new}}]})
                case 4:
                    gone = {"Delete": {"TableName": "tab", "Key": key}}
                    await desk.TransactWriteItems(TransactItems=[gone])
            if step % 20 == 0:
                expected: dict[str, int] = {}
                for found in (await desk.Scan(TableName="tab"))["Items"]:
                    p = found["p"]["S"]
                    expected[p] = expected.get(p, 0) + weight(found)
                assert sizes(desk, state_table) == expected
        await desk.DeleteTable(TableName="tab")
        await desk.chores.settle()
        assert not sizes(desk, state_table)

    at_desk(main)


async def nearly_full(desk: Desk, left: int) -> None:
    """The collection ``a`` of ``collected``'s table lacks so many bytes."""
    state_table = await collected(desk)
    await desk.PutItem(TableName="tab", Item=item("a", "first", 1000))
    await desk.store.submit("write", [[keys.key(state_table, b"a"), b"%d" % (LIMIT - left)]])


def test_a_full_collection_only_shrinks() -> None:
    async def main(desk: Desk) -> None:
        await nearly_full(desk, 5000)
        size = dict(ReturnItemCollectionMetrics="SIZE")
        more = item("a", "second", 3000)
        answer = await desk.PutItem(TableName="tab", Item=more, **size)
        assert answer == {
            "ItemCollectionMetrics": {
                "ItemCollectionKey": {"p": {"S": "a"}},
                "SizeEstimateRangeGB": [9.0, 10.0],
            }
        }
        error = await desk.refused("PutItem", TableName="tab", Item=item("a", "third", 3000))
        assert (error.code, error.message) == ("ItemCollectionSizeLimitExceededException", TEXT)
        error = await desk.refused(
            "UpdateItem",
            TableName="tab",
            Key={"p": {"S": "a"}, "s": {"S": "second"}},
            UpdateExpression="SET a = :a",  # its copy in the index is what is too much
            ExpressionAttributeValues={":a": {"S": "a"}},
        )
        assert error.code == "ItemCollectionSizeLimitExceededException"
        found = await desk.Query(
            TableName="tab",
            IndexName="whole",
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": {"S": "a"}},
        )
        assert found["Count"] == 0  # nothing of a refused write stays
        await desk.PutItem(TableName="tab", Item=item("b", "third", 3000))
        await desk.PutItem(TableName="tab", Item=item("a", "second", 10))
        answer = await desk.DeleteItem(
            TableName="tab", Key={"p": {"S": "a"}, "s": {"S": "first"}}, **size
        )
        assert answer["ItemCollectionMetrics"]["SizeEstimateRangeGB"] == [9.0, 10.0]
        await desk.PutItem(TableName="tab", Item=item("a", "third", 3000))

    at_desk(main)


def test_groups_and_statements_say_it_their_way() -> None:
    async def main(desk: Desk) -> None:
        await nearly_full(desk, 100)
        big, small = item("a", "big", 3000), item("b", "small")
        put = [{"PutRequest": {"Item": i}} for i in (small, big)]
        error = await desk.refused("BatchWriteItem", RequestItems={"tab": put})
        assert error.code == "ItemCollectionSizeLimitExceededException"
        puts = [{"Put": {"TableName": "tab", "Item": i}} for i in (small, big)]
        error = await desk.refused("TransactWriteItems", TransactItems=puts)
        assert error.fields["CancellationReasons"] == [
            {"Code": "None"},
            {"Code": "ItemCollectionSizeLimitExceeded", "Message": TEXT},
        ]
        assert not (await desk.GetItem(TableName="tab", Key={n: small[n] for n in "ps"}))
        insert = {
            "Statement": "INSERT INTO tab VALUE {'p': 'a', 's': 'x', 'v': ?}",
            "Parameters": [big["v"]],
        }
        error = await desk.refused("ExecuteStatement", **insert)
        assert error.code == "ItemCollectionSizeLimitExceededException"
        (answer,) = (await desk.BatchExecuteStatement(Statements=[insert]))["Responses"]
        assert answer["Error"] == {"Code": "ItemCollectionSizeLimitExceeded", "Message": TEXT}
        answer = await desk.TransactWriteItems(
            TransactItems=puts[:1], ReturnItemCollectionMetrics="SIZE"
        )
        metrics = {"ItemCollectionKey": {"p": {"S": "b"}}, "SizeEstimateRangeGB": [0.0, 1.0]}
        assert answer["ItemCollectionMetrics"] == {"tab": [metrics]}
        answer = await desk.BatchWriteItem(
            RequestItems={"tab": put[:1]}, ReturnItemCollectionMetrics="SIZE"
        )
        assert answer["ItemCollectionMetrics"] == {"tab": [metrics]}

    at_desk(main)


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem", "DeleteItem"])
def test_a_table_without_local_indexes_has_no_collections(operation: str) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        key = {"p": {"S": "a"}}
        member = "Item" if operation == "PutItem" else "Key"
        answer = await getattr(desk, operation)(
            **{"TableName": "tab", member: key, "ReturnItemCollectionMetrics": "SIZE"}
        )
        assert answer == {}

    at_desk(main)
