"""Random operations against a plain model in memory: same answers, same rows, same indexes."""

from __future__ import annotations

import random
from typing import Any

from pileus.errors import AwsError
from tests.services.dynamodb.desk import Desk, at_desk, index

STEPS = ("put", "put_new", "add", "delete", "move", "batch", "transact")
SEEDS = range(12)
STEPS_EACH = 60
Model = dict[tuple[str, int], dict[str, Any]]


def make(p: str, s: int, g: str | None, v: int) -> dict[str, Any]:
    item: dict[str, Any] = {"p": {"S": p}, "s": {"N": str(s)}, "v": {"N": str(v)}}
    return item | ({"g": {"S": g}} if g else {})


async def step(desk: Desk, model: Model, what: str, p: str, s: int, g: str | None, v: int) -> None:
    key = {"p": {"S": p}, "s": {"N": str(s)}}
    at = (p, s)
    item = make(p, s, g, v)
    if what == "put":
        await desk.PutItem(TableName="tab", Item=item)
        model[at] = item
    elif what == "put_new":
        try:
            await desk.PutItem(
                TableName="tab", Item=item, ConditionExpression="attribute_not_exists(p)"
            )
            assert at not in model
            model[at] = item
        except AwsError as error:
            assert error.code == "ConditionalCheckFailedException" and at in model
    elif what == "add":
        answer = await desk.UpdateItem(
            TableName="tab",
            Key=key,
            UpdateExpression="ADD v :v",
            ExpressionAttributeValues={":v": {"N": str(v)}},
            ReturnValues="ALL_NEW",
        )
        old = model.get(at, key)
        total = int(old.get("v", {"N": "0"})["N"]) + v
        model[at] = {**old, "v": {"N": str(total)}}
        assert answer["Attributes"] == model[at]
    elif what == "delete":
        answer = await desk.DeleteItem(TableName="tab", Key=key, ReturnValues="ALL_OLD")
        assert answer.get("Attributes") == model.pop(at, None)
    elif what == "move":
        expression = "SET g = :g" if g else "REMOVE g"
        values = {"ExpressionAttributeValues": {":g": {"S": g}}} if g else {}
        await desk.UpdateItem(TableName="tab", Key=key, UpdateExpression=expression, **values)
        if not g and at not in model:
            return  # nothing was to be removed, and nothing is made
        changed = {n: x for n, x in model.get(at, key).items() if n != "g"}
        model[at] = changed | ({"g": {"S": g}} if g else {})
    elif what == "batch":
        writes = [
            {"PutRequest": {"Item": item}},
            {"DeleteRequest": {"Key": {"p": {"S": p}, "s": {"N": str(s + 1)}}}},
        ]
        await desk.BatchWriteItem(RequestItems={"tab": writes})
        model[at] = item
        model.pop((p, s + 1), None)
    else:
        await transact(desk, model, item, at)


async def transact(desk: Desk, model: Model, item: dict[str, Any], at: tuple[str, int]) -> None:
    other = "b" if at[0] == "a" else "a"
    key = {"p": {"S": other}, "s": item["s"]}
    try:
        await desk.TransactWriteItems(
            TransactItems=[
                {"Put": {"TableName": "tab", "Item": item}},
                {
                    "Delete": {
                        "TableName": "tab",
                        "Key": key,
                        "ConditionExpression": "attribute_exists(p)",
                    }
                },
            ]
        )
        del model[(other, at[1])]
        model[at] = item
    except AwsError as error:
        assert error.code == "TransactionCanceledException" and (other, at[1]) not in model


async def compare(desk: Desk, model: Model) -> None:
    scanned = (await desk.Scan(TableName="tab"))["Items"]
    assert sorted(scanned, key=str) == sorted(model.values(), key=str)
    for p in "ab":
        found = await desk.Query(
            TableName="tab",
            KeyConditionExpression="p = :p",
            ExpressionAttributeValues={":p": {"S": p}},
        )
        assert found["Items"] == [model[k] for k in sorted(model) if k[0] == p]
    for g in "xy":
        found = await desk.Query(
            TableName="tab",
            IndexName="by-g",
            KeyConditionExpression="g = :g",
            ExpressionAttributeValues={":g": {"S": g}},
        )
        wanted = [i for i in model.values() if i.get("g") == {"S": g}]
        assert [int(i["s"]["N"]) for i in found["Items"]] == sorted(
            int(i["s"]["N"]) for i in wanted
        )
        assert sorted(found["Items"], key=str) == sorted(wanted, key=str)


def history(seed: int) -> list[tuple[Any, ...]]:
    pick = random.Random(seed)
    return [
        (
            pick.choice(STEPS),
            pick.choice("ab"),
            pick.randint(-2, 2),
            pick.choice((None, "x", "y")),
            pick.randint(0, 9),
        )
        for _ in range(STEPS_EACH)
    ]


def test_any_history_matches_the_model() -> None:
    async def main(desk: Desk) -> None:
        for seed in SEEDS:
            model: Model = {}
            await desk.table(
                "tab", "p:S", "s:N", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g", "s")]
            )
            for operation in history(seed):
                await step(desk, model, *operation)
            await compare(desk, model)
            await desk.DeleteTable(TableName="tab")

    at_desk(main)
