"""How deep values nest: 32 levels, the attribute's own value the first (Developer Guide, "Service
quotas", attributes; that a scalar may lie on the last was observed)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk

KEY = {"p": {"S": "a"}}
DEEP = (
    "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels"
    " beyond supported limit"
)


def nested(levels: int, kind: str = "M", innermost: Any = None) -> dict[str, Any]:
    """A value whose innermost part lies on level ``levels``."""
    value: dict[str, Any] = innermost or {"S": "x"}
    for _ in range(levels - 1):
        value = {"M": {"a": value}} if kind == "M" else {"L": [value]}
    return value


@pytest.mark.parametrize("kind", ["M", "L"])
def test_an_item_put_has_32_levels(kind: str) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        fits, deep = ({**KEY, "v": nested(n, kind)} for n in (32, 33))
        empty = {**KEY, "v": nested(32, kind, {kind: {} if kind == "M" else []})}
        for item in (fits, empty):
            await desk.PutItem(TableName="tab", Item=item)
            assert await desk.GetItem(TableName="tab", Key=KEY) == {"Item": item}
        put = {"TableName": "tab", "Item": deep}
        batch = {"RequestItems": {"tab": [{"PutRequest": {"Item": deep}}]}}
        insert = {
            "Statement": "INSERT INTO tab VALUE {'p': 'b', 'v': ?}",
            "Parameters": [deep["v"]],
        }
        for operation, params in (
            ("PutItem", put),
            ("BatchWriteItem", batch),
            ("TransactWriteItems", {"TransactItems": [{"Put": put}]}),
            ("ExecuteStatement", insert),
        ):
            assert (await desk.refused(operation, **params)).message == DEEP

    at_desk(main)


@pytest.mark.parametrize("levels", [31, 32])
def test_an_update_makes_no_more_than_32_levels(levels: int) -> None:
    """``SET m.a = :v``: each value keeps to the limit, what they make together does or does not."""

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        item = {**KEY, "m": {"M": {}}, "l": {"L": []}, "deep": nested(levels)}
        update: dict[str, Any] = {"TableName": "tab", "Key": KEY}
        given = {"ExpressionAttributeValues": {":v": nested(levels)}}
        lists = {"ExpressionAttributeValues": {":v": {"L": [nested(levels - 1)]}}}
        for text, values in (
            ("SET m.a = :v", given),
            ("SET l[0] = :v", given),
            ("SET m.a = deep", {}),
            ("SET m.a = if_not_exists(x, deep)", {}),
            ("SET m.a = list_append(:v, l)", lists),
        ):
            await desk.PutItem(TableName="tab", Item=item)
            asked = {**update, "UpdateExpression": text, **values}
            transaction = {"TransactItems": [{"Update": asked}]}
            if levels == 31:
                await desk.UpdateItem(**asked)
                await desk.PutItem(TableName="tab", Item=item)
                await desk.TransactWriteItems(**transaction)
                continue
            assert (await desk.refused("UpdateItem", **asked)).message == DEEP
            error = await desk.refused("TransactWriteItems", **transaction)
            assert error.fields["CancellationReasons"] == [
                {"Code": "ValidationError", "Message": DEEP}
            ]
            assert await desk.GetItem(TableName="tab", Key=KEY) == {"Item": item}

    at_desk(main)


def test_a_value_of_an_expression_has_32_levels() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(TableName="tab", Item=KEY)
        asked = {"TableName": "tab", "Key": KEY, "UpdateExpression": "SET x = :v"}
        for levels, code in ((32, "ConditionalCheckFailedException"), (33, "ValidationException")):
            values = {":v": {"S": "y"}, ":deep": nested(levels)}
            error = await desk.refused(
                *("UpdateItem",),
                **asked,
                ConditionExpression="d = :deep",
                ExpressionAttributeValues=values,
            )
            assert error.code == code
        assert DEEP in error.message

    at_desk(main)
