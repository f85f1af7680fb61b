"""Keys of secondary indexes hold what they are declared to hold, whichever way an item is written.

What a request tells by itself is refused before anything else is looked at; what only the item
tells, when the entry is applied, in the words of the API reference (TransactWriteItems,
``ValidationError``).
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk, index

KEY = {"p": {"S": "a"}}
EMPTY = "One or more parameter values are not valid. "
PUT = (
    EMPTY + "A value specified for a secondary index key is not supported. The AttributeValue for a"
    " key attribute cannot contain an empty {0} value. IndexName: by{1}, IndexKey: {1}"
)
UPDATE = (
    EMPTY + "The update expression attempted to update a secondary index key to a value that is not"
    " supported. The AttributeValue for a key attribute cannot contain an empty {0} value."
)
OF_INDEX = "The update expression attempted to update the secondary index key"
EMPTIES = [("s", {"S": ""}, "string"), ("b", {"B": ""}, "binary")]


async def tabled(desk: Desk, item: dict[str, Any] | None = None) -> None:
    indexes = [index("bys", "s"), index("byb", "b"), index("byn", "n", "b")]
    await desk.table(*("tab", "p:S"), also=("s:S", "b:B", "n:N"), GlobalSecondaryIndexes=indexes)
    await desk.PutItem(TableName="tab", Item=item or KEY)


def update(text: str, **values: Any) -> dict[str, Any]:
    given = {"ExpressionAttributeValues": {f":{n}": v for n, v in values.items()}}
    return {"TableName": "tab", "Key": KEY, "UpdateExpression": text, **(given if values else {})}


@pytest.mark.parametrize(("name", "value", "noun"), EMPTIES)
def test_no_item_put_has_an_empty_one(name: str, value: dict[str, str], noun: str) -> None:
    async def main(desk: Desk) -> None:
        await tabled(desk)
        put = {"TableName": "tab", "Item": {**KEY, name: value}}
        legacy = {name: {"Action": "PUT", "Value": value}}
        insert = f"INSERT INTO tab VALUE {{'p': 'new', '{name}': ?}}"
        for operation, params in (
            ("PutItem", put),
            ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": put["Item"]}}]}}),
            ("TransactWriteItems", {"TransactItems": [{"Put": put}]}),
            ("UpdateItem", {"TableName": "tab", "Key": KEY, "AttributeUpdates": legacy}),
            ("ExecuteStatement", {"Statement": insert, "Parameters": [value]}),
        ):
            error = await desk.refused(operation, **params)
            assert (error.code, error.message) == ("ValidationException", PUT.format(noun, name))
        assert (await desk.Scan(TableName="tab"))["Items"] == [KEY]

    at_desk(main)


@pytest.mark.parametrize(("name", "value", "noun"), EMPTIES)
def test_no_update_sets_an_empty_one(name: str, value: dict[str, str], noun: str) -> None:
    """Told before the condition, and in a transaction as the whole request's mistake."""

    async def main(desk: Desk) -> None:
        await tabled(desk)
        asked = update(f"SET {name} = :v", v=value)
        guarded = {**asked, "ConditionExpression": "attribute_not_exists(p)"}
        statement = {
            "Statement": f"UPDATE tab SET {name} = ? WHERE p = 'a'",
            "Parameters": [value],
        }
        for operation, params in (
            ("UpdateItem", asked),
            ("UpdateItem", guarded),
            ("TransactWriteItems", {"TransactItems": [{"Update": asked}]}),
            ("ExecuteStatement", statement),
        ):
            error = await desk.refused(operation, **params)
            assert (error.code, error.message) == ("ValidationException", UPDATE.format(noun))
        assert (await desk.Scan(TableName="tab"))["Items"] == [KEY]

    at_desk(main)


def test_what_an_update_works_out_is_held_to_the_index_too() -> None:
    item = {
        **KEY,
        **{"bare": {"S": ""}, "nil": {"B": ""}, "l": {"L": []}},
        **{"lengthy": {"S": "x" * 2049}, "rather": {"B": "AAAA" * 342}},
    }

    async def main(desk: Desk) -> None:
        await tabled(desk, item)
        for text, message in (
            ("SET s = bare", UPDATE.format("string")),
            ("SET b = if_not_exists(x, nil)", UPDATE.format("binary")),
            ("SET s = l", f"{OF_INDEX} to unsupported type"),
            ("SET s = lengthy", f"{OF_INDEX} beyond allowed size limits"),
            ("SET n = :n, b = rather", f"{OF_INDEX} beyond allowed size limits"),
        ):
            asked = update(text, **({"n": {"N": "1"}} if ":n" in text else {}))
            error = await desk.refused("UpdateItem", **asked)
            assert (error.code, error.message) == ("ValidationException", message)
            error = await desk.refused("TransactWriteItems", TransactItems=[{"Update": asked}])
            reason = {"Code": "ValidationError", "Message": message}
            assert error.fields["CancellationReasons"] == [reason]
            assert await desk.GetItem(TableName="tab", Key=KEY) == {"Item": item}
        for told in ({"S": "x" * 2049}, {"S": "x" * 2048}):
            asked = update("SET s = :v", v=told)
            if len(told["S"]) > 2048:
                error = await desk.refused("UpdateItem", **asked)
                assert error.message.endswith("exceeded the maximum size limit of2048 bytes")
            else:
                await desk.UpdateItem(**asked)

    at_desk(main)


def test_an_item_older_than_the_index_may_be_changed_elsewhere() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(TableName="tab", Item={**KEY, "s": {"S": ""}})
        await desk.UpdateTable(
            TableName="tab",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in "ps"],
            GlobalSecondaryIndexUpdates=[{"Create": index("bys", "s")}],
        )
        await desk.UpdateItem(**update("SET v = :v", v={"N": "1"}))
        error = await desk.refused("UpdateItem", **update("SET s = s"))
        assert error.message == UPDATE.format("string")
        await desk.UpdateItem(**update("REMOVE s"))
        wanted = {"Item": {**KEY, "v": {"N": "1"}}}
        assert await desk.GetItem(TableName="tab", Key=KEY) == wanted

    at_desk(main)
