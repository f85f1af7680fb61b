"""Which of several mistakes a TransactWriteItems is told: expressions and values of each operation
in its turn, then its tables, then keys, then two operations of one item, then conditions. The order
is the service's, as observed of it in 2026."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk, index
from tests.services.dynamodb.test_nesting import DEEP, nested


def put(key: str, table: str = "tab", **more: Any) -> dict[str, Any]:
    return {"Put": {"TableName": table, "Item": {"p": {"S": key}, **more}}}


def check(text: str, **more: Any) -> dict[str, Any]:
    told = {"TableName": "tab", "Key": {"p": {"S": "c"}}, "ConditionExpression": text}
    return {"ConditionCheck": {**told, **more}}


NOWHERE = put("a", "nowhere")
BROKEN = check("attribute_not_exists(")
UNUSED = check("attribute_not_exists(p)", ExpressionAttributeValues={":v": {"S": "x"}})
TOO_DEEP = put("d", v=nested(33))
SYNTAX = 'Invalid ConditionExpression: Syntax error; token: "<EOF>", near: "("'
IDLE = "Value provided in ExpressionAttributeValues unused in expressions: keys: {:v}"
TWICE = "Transaction request cannot include multiple operations on one item"
WRONG_KEY: dict[str, Any] = {"Delete": {"TableName": "tab", "Key": {"p": {"N": "1"}}}}
WRONG_INDEX = put("w", s={"N": "1"})


@pytest.mark.parametrize(
    ("operations", "message"),
    [
        ([NOWHERE, BROKEN], SYNTAX),
        ([BROKEN, TOO_DEEP], SYNTAX),
        ([TOO_DEEP, BROKEN], DEEP),
        ([NOWHERE, UNUSED], IDLE),
        ([UNUSED, NOWHERE], IDLE),
        ([put("c"), UNUSED], IDLE),
        ([WRONG_KEY, UNUSED], IDLE),
        ([put("c"), put("c")], TWICE),
        ([put("c"), put("c"), NOWHERE], "Requested resource not found"),
    ],
)
def test_mistakes_that_end_the_request(operations: list[Any], message: str) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", also=("s:S",), GlobalSecondaryIndexes=[index("bys", "s")])
        error = await desk.refused("TransactWriteItems", TransactItems=operations)
        assert error.code != "TransactionCanceledException" and error.message == message
        assert (await desk.Scan(TableName="tab"))["Items"] == []

    at_desk(main)


@pytest.mark.parametrize("wrong", [WRONG_KEY, WRONG_INDEX])
def test_keys_are_held_to_the_table_before_two_of_one_item_are_found(wrong: Any) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", also=("s:S",), GlobalSecondaryIndexes=[index("bys", "s")])
        asked = [put("c"), put("c"), wrong, check("attribute_exists(p)")]
        error = await desk.refused("TransactWriteItems", TransactItems=asked)
        codes = [reason["Code"] for reason in error.fields["CancellationReasons"]]
        assert codes == ["None", "None", "ValidationError", "None"]

    at_desk(main)
