"""Items, conditions, indexes, transactions, in this process."""

from __future__ import annotations

from typing import Any

from tests.services.dynamodb.desk import Desk, at_desk, index


def n(value: int) -> dict[str, str]:
    return {"N": str(value)}


def test_put_get_update_delete() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S", "s:N")
        key = {"p": {"S": "a"}, "s": n(1)}
        await desk.PutItem(TableName=t, Item={**key, "v": {"N": "1.50"}})
        got = await desk.GetItem(TableName=t, Key=key)
        assert got == {"Item": {**key, "v": {"N": "1.5"}}}
        answer = await desk.UpdateItem(
            TableName=t,
            Key=key,
            UpdateExpression="SET v = v + :one, w = :w",
            ExpressionAttributeValues={":one": n(1), ":w": {"S": "x"}},
            ReturnValues="UPDATED_NEW",
        )
        assert answer == {"Attributes": {"v": {"N": "2.5"}, "w": {"S": "x"}}}
        gone = await desk.DeleteItem(TableName=t, Key=key, ReturnValues="ALL_OLD")
        assert gone["Attributes"]["v"] == {"N": "2.5"}
        assert await desk.GetItem(TableName=t, Key=key) == {}

    at_desk(main)


def test_a_failed_condition_changes_nothing_and_shows_the_item_when_asked() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S")
        item = {"p": {"S": "a"}, "b": {"B": "AQI="}}
        await desk.PutItem(TableName=t, Item=item)
        error = await desk.refused(
            "PutItem",
            TableName=t,
            Item={"p": {"S": "a"}},
            ConditionExpression="attribute_not_exists(p)",
            ReturnValuesOnConditionCheckFailure="ALL_OLD",
        )
        assert error.code == "ConditionalCheckFailedException"
        assert error.message == "The conditional request failed"
        assert error.fields["Item"]["b"] == {"B": b"\x01\x02"}
        assert (await desk.GetItem(TableName=t, Key={"p": {"S": "a"}}))["Item"] == item

    at_desk(main)


def test_keys_are_checked_in_the_services_words() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S", "s:B")
        mismatch = "The provided key element does not match the schema"
        for key in (
            {"p": {"S": "a"}},
            {"p": n(1), "s": {"B": "AQ=="}},
            {"p": {"S": "a"}, "x": {"B": "AQ=="}},
        ):
            assert (await desk.refused("GetItem", TableName=t, Key=key)).message == mismatch
        missing = await desk.refused("PutItem", TableName=t, Item={"p": {"S": "a"}})
        assert missing.message.endswith("Missing the key s in the item")
        empty = await desk.refused(
            "PutItem", TableName=t, Item={"p": {"S": ""}, "s": {"B": "AQ=="}}
        )
        assert "cannot contain an empty string value. Key: p" in empty.message
        long = await desk.refused(
            "GetItem", TableName=t, Key={"p": {"S": "x" * 2049}, "s": {"B": "AQ=="}}
        )
        assert "Size of hashkey has exceeded" in long.message

    at_desk(main)


def test_items_end_at_400_kb() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S")
        room = 400 * 1024 - len("p") - 1 - len("v")
        await desk.PutItem(TableName=t, Item={"p": {"S": "a"}, "v": {"S": "x" * room}})
        error = await desk.refused(
            "PutItem", TableName=t, Item={"p": {"S": "b"}, "v": {"S": "x" * (room + 1)}}
        )
        assert error.message == "Item size has exceeded the maximum allowed size"
        error = await desk.refused(
            "UpdateItem",
            TableName=t,
            Key={"p": {"S": "a"}},
            UpdateExpression="SET w = :w",
            ExpressionAttributeValues={":w": {"S": "y"}},
        )
        assert error.message == "Item size to update has exceeded the maximum allowed size"

    at_desk(main)


def test_serialization_errors_name_the_type() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S")
        error = await desk.refused("GetItem", TableName=t, Key={"p": {"S": 5}})
        assert (error.code, error.message) == (
            "SerializationException",
            "NUMBER_VALUE cannot be converted to String",
        )
        error = await desk.refused("GetItem", TableName=t, Key=["p"])
        assert error.message.startswith("Unrecognized collection type java.util.Map<")

    at_desk(main)


def test_global_and_local_indexes_follow_their_items() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table(
            "tab",
            "p:S",
            "s:N",
            also=("g:S", "l:S"),
            GlobalSecondaryIndexes=[index("by-g", "g", "s", projection="KEYS_ONLY")],
            LocalSecondaryIndexes=[index("by-l", "p", "l", projection="KEYS_ONLY")],
        )
        for i in range(4):
            item = {"p": {"S": "a"}, "s": n(i), "g": {"S": "x"}, "l": {"S": str(9 - i)}, "v": n(i)}
            await desk.PutItem(TableName=t, Item=item)

        async def ask(name: str, attribute: str, value: str, **more: Any) -> list[str]:
            answer = await desk.Query(
                TableName=t,
                IndexName=name,
                KeyConditionExpression="#k = :v",
                ExpressionAttributeNames={"#k": attribute},
                ExpressionAttributeValues={":v": {"S": value}},
                **more,
            )
            return [i["s"]["N"] for i in answer["Items"]]

        assert await ask("by-g", "g", "x") == ["0", "1", "2", "3"]
        assert await ask("by-l", "p", "a") == ["3", "2", "1", "0"]
        await desk.UpdateItem(
            TableName=t,
            Key={"p": {"S": "a"}, "s": n(1)},
            UpdateExpression="SET g = :y, l = :z",
            ExpressionAttributeValues={":y": {"S": "y"}, ":z": {"S": "zz"}},
        )
        await desk.UpdateItem(
            TableName=t, Key={"p": {"S": "a"}, "s": n(2)}, UpdateExpression="REMOVE g"
        )
        await desk.DeleteItem(TableName=t, Key={"p": {"S": "a"}, "s": n(3)})
        assert await ask("by-g", "g", "x") == ["0"]
        assert await ask("by-g", "g", "y") == ["1"]
        assert await ask("by-l", "p", "a") == ["2", "0", "1"]
        whole = await desk.Query(
            TableName=t,
            IndexName="by-l",
            Select="ALL_ATTRIBUTES",
            KeyConditionExpression="p = :v",
            ExpressionAttributeValues={":v": {"S": "a"}},
        )
        assert [i["v"]["N"] for i in whole["Items"]] == ["2", "0", "1"]
        consistent = await desk.refused("Scan", TableName=t, IndexName="by-g", ConsistentRead=True)
        assert consistent.message.startswith("Consistent reads are not supported")

    at_desk(main)


def test_pages_join_up_to_the_whole() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table(
            "tab", "p:S", "s:N", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
        )
        for i in range(25):
            item = {"p": {"S": str(i % 2)}, "s": n(i - 10), "g": {"S": "x"}}
            await desk.PutItem(TableName=t, Item=item)

        async def walk(operation: str, **params: Any) -> list[int]:
            out: list[int] = []
            start: dict[str, Any] = {}
            while True:
                page = await getattr(desk, operation)(TableName=t, Limit=4, **params, **start)
                out += [int(i["s"]["N"]) for i in page["Items"]]
                if "LastEvaluatedKey" not in page:
                    return out
                start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

        one = {"KeyConditionExpression": "p = :p", "ExpressionAttributeValues": {":p": {"S": "1"}}}
        assert await walk("Query", **one) == list(range(-9, 15, 2))
        assert await walk("Query", **one, ScanIndexForward=False) == list(range(13, -10, -2))
        by_g = {"KeyConditionExpression": "g = :g", "ExpressionAttributeValues": {":g": {"S": "x"}}}
        assert sorted(await walk("Query", IndexName="by-g", **by_g)) == list(range(-10, 15))
        assert sorted(await walk("Scan")) == list(range(-10, 15))
        parts = [await walk("Scan", Segment=i, TotalSegments=3) for i in range(3)]
        assert sorted(s for part in parts for s in part) == list(range(-10, 15))

    at_desk(main)


def test_a_page_ends_at_one_megabyte() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S", "s:N")
        for i in range(4):
            item = {"p": {"S": "a"}, "s": n(i), "v": {"S": "x" * 380_000}}
            await desk.PutItem(TableName=t, Item=item)
        page = await desk.Scan(TableName=t, ReturnConsumedCapacity="TOTAL", Select="COUNT")
        assert page["Count"] == 3
        assert page["LastEvaluatedKey"]["s"] == n(2)
        assert page["ConsumedCapacity"]["CapacityUnits"] == 139.5

    at_desk(main)


def test_transactions_are_all_or_nothing_and_idempotent() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S")
        await desk.PutItem(TableName=t, Item={"p": {"S": "a"}, "v": n(1)})
        add = {
            "Update": {
                "TableName": t,
                "Key": {"p": {"S": "a"}},
                "UpdateExpression": "ADD v :one",
                "ExpressionAttributeValues": {":one": n(1)},
            }
        }
        put = {"Put": {"TableName": t, "Item": {"p": {"S": "b"}}}}
        check = {
            "ConditionCheck": {
                "TableName": t,
                "Key": {"p": {"S": "c"}},
                "ConditionExpression": "attribute_exists(p)",
            }
        }
        error = await desk.refused("TransactWriteItems", TransactItems=[add, put, check])
        assert error.code == "TransactionCanceledException"
        assert error.message.endswith("[None, None, ConditionalCheckFailed]")
        codes = [r["Code"] for r in error.fields["CancellationReasons"]]
        assert codes == ["None", "None", "ConditionalCheckFailed"]
        for _ in range(2):
            await desk.TransactWriteItems(TransactItems=[add, put], ClientRequestToken="once")
        both = await desk.TransactGetItems(
            TransactItems=[{"Get": {"TableName": t, "Key": {"p": {"S": k}}}} for k in "abc"]
        )
        assert both["Responses"] == [
            {"Item": {"p": {"S": "a"}, "v": n(2)}},
            {"Item": {"p": {"S": "b"}}},
            {},
        ]
        other = await desk.refused(
            "TransactWriteItems", TransactItems=[put], ClientRequestToken="once"
        )
        assert other.code == "IdempotentParameterMismatchException"
        twice = await desk.refused("TransactWriteItems", TransactItems=[put, put])
        assert "multiple operations on one item" in twice.message

    at_desk(main)


def test_batches() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S")
        puts = [{"PutRequest": {"Item": {"p": {"S": str(i)}}}} for i in range(25)]
        answer = await desk.BatchWriteItem(RequestItems={t: puts}, ReturnConsumedCapacity="TOTAL")
        assert answer["UnprocessedItems"] == {}
        assert answer["ConsumedCapacity"] == [{"TableName": t, "CapacityUnits": 25.0}]
        wanted = [{"p": {"S": str(i)}} for i in range(30)]
        got = await desk.BatchGetItem(RequestItems={t: {"Keys": wanted}})
        assert sorted(i["p"]["S"] for i in got["Responses"][t]) == sorted(map(str, range(25)))
        twice = await desk.refused("BatchGetItem", RequestItems={t: {"Keys": wanted[:1] * 2}})
        assert twice.message == "Provided list of item keys contains duplicates"

    at_desk(main)


def test_consumed_capacity_counts_indexes() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table(
            "tab", "p:S", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g")]
        )
        item = {"p": {"S": "a"}, "g": {"S": "x"}, "v": {"S": "x" * 1500}}
        put = await desk.PutItem(TableName=t, Item=item, ReturnConsumedCapacity="INDEXES")
        assert put["ConsumedCapacity"] == {
            "TableName": t,
            "CapacityUnits": 4.0,
            "Table": {"CapacityUnits": 2.0},
            "GlobalSecondaryIndexes": {"by-g": {"CapacityUnits": 2.0}},
        }
        moved = await desk.PutItem(
            TableName=t, Item={**item, "g": {"S": "y"}}, ReturnConsumedCapacity="TOTAL"
        )
        assert moved["ConsumedCapacity"]["CapacityUnits"] == 6.0
        got = await desk.GetItem(TableName=t, Key={"p": {"S": "a"}}, ReturnConsumedCapacity="TOTAL")
        assert got["ConsumedCapacity"]["CapacityUnits"] == 0.5

    at_desk(main)


def test_legacy_parameters() -> None:
    async def main(desk: Desk) -> None:
        t = await desk.table("tab", "p:S", "s:N")
        key = {"p": {"S": "a"}, "s": n(1)}
        await desk.PutItem(TableName=t, Item=key, Expected={"p": {"Exists": False}})
        error = await desk.refused(
            "PutItem", TableName=t, Item=key, Expected={"p": {"Exists": False}}
        )
        assert error.code == "ConditionalCheckFailedException"
        await desk.UpdateItem(
            TableName=t,
            Key=key,
            AttributeUpdates={
                "v": {"Action": "ADD", "Value": n(2)},
                "tags": {"Action": "PUT", "Value": {"SS": ["a", "b"]}},
            },
        )
        found = await desk.Query(
            TableName=t,
            KeyConditions={
                "p": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]},
                "s": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [n(0), n(5)]},
            },
            QueryFilter={
                "tags": {"ComparisonOperator": "CONTAINS", "AttributeValueList": [{"S": "b"}]}
            },
            AttributesToGet=["v"],
        )
        assert found["Items"] == [{"v": n(2)}]
        mixed = await desk.refused(
            "GetItem", TableName=t, Key=key, AttributesToGet=["v"], ProjectionExpression="v"
        )
        assert mixed.message.startswith("Can not use both expression and non-expression")

    at_desk(main)
