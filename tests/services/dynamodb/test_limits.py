"""The quotas of the Developer Guide ("Quotas in Amazon DynamoDB"), each at its edge."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk, index

KEY = {"p": {"S": "a"}}
ONE = {"TableName": "tab", "Key": KEY}
KILO = 1024


def text(size: int) -> dict[str, str]:
    return {"S": "x" * size}


def attributes(*names: str) -> list[dict[str, str]]:
    return [{"AttributeName": n, "AttributeType": "S"} for n in names]


def test_an_item_has_400_kilobytes() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        full = {**KEY, "v": text(400 * KILO - 3)}
        await desk.PutItem(TableName="tab", Item=full)
        one_more = {"UpdateExpression": "SET #w = :w"}
        error = await desk.refused(
            "UpdateItem",
            **ONE,
            **one_more,
            ExpressionAttributeNames={"#w": "w"},
            ExpressionAttributeValues={":w": {"S": ""}},
        )
        assert error.message == "Item size to update has exceeded the maximum allowed size"
        too_large = {**KEY, "v": text(400 * KILO - 2)}
        for operation, params in (
            ("PutItem", {"TableName": "tab", "Item": too_large}),
            ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": too_large}}]}}),
            (
                "TransactWriteItems",
                {"TransactItems": [{"Put": {"TableName": "tab", "Item": too_large}}]},
            ),
            (
                "ExecuteStatement",
                {
                    "Statement": "INSERT INTO tab VALUE {'p': 'b', 'v': ?}",
                    "Parameters": [too_large["v"]],
                },
            ),
        ):
            error = await desk.refused(operation, **params)
            assert error.message == "Item size has exceeded the maximum allowed size", operation

    at_desk(main)


def test_its_entries_in_local_indexes_count() -> None:
    async def main(desk: Desk) -> None:
        await desk.table(
            "tab", "p:S", "s:S", also=["l:S"], LocalSecondaryIndexes=[index("all", "p", "l")]
        )
        half = {**KEY, "s": {"S": "s"}, "v": text(205 * KILO)}
        await desk.PutItem(TableName="tab", Item=half)
        put = {"TableName": "tab", "Item": {**half, "l": {"S": "l"}}}
        key = {"TableName": "tab", "Key": {**KEY, "s": {"S": "s"}}}
        update = {**key, "UpdateExpression": "SET l = s"}
        told = {
            "Put": (put, "Item size has exceeded the maximum allowed size"),
            "Update": (update, "Item size to update has exceeded the maximum allowed size"),
        }
        for operation, (params, message) in told.items():
            error = await desk.refused(f"{operation}Item", **params)
            assert (error.code, error.message) == ("ValidationException", message)
            error = await desk.refused("TransactWriteItems", TransactItems=[{operation: params}])
            reason = {"Code": "ValidationError", "Message": message}
            assert error.fields["CancellationReasons"] == [reason]
        legacy = {"AttributeUpdates": {"l": {"Value": {"S": "l"}}}}
        assert (await desk.refused("UpdateItem", **key, **legacy)).message == message
        assert (await desk.Scan(TableName="tab"))["Items"] == [half]

    at_desk(main)


@pytest.mark.parametrize("kind", ["S", "B"])
def test_keys(kind: str) -> None:
    import base64

    def value(size: int) -> dict[str, str]:
        return {kind: "x" * size if kind == "S" else base64.b64encode(b"x" * size).decode()}

    hash_text = "Size of hashkey has exceeded the maximum size limit of2048 bytes"
    range_text = "Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
    together = (
        "The update expression attempted to update the secondary index key beyond allowed size"
        " limits"
    )

    async def main(desk: Desk) -> None:
        await desk.table(
            "tab",
            f"p:{kind}",
            f"s:{kind}",
            also=[f"{n}:{kind}" for n in "abcd"],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "wide",
                    "KeySchema": [
                        {"AttributeName": n, "KeyType": k}
                        for n, k in zip("abcd", ("HASH", "HASH", "RANGE", "RANGE"), strict=True)
                    ],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            LocalSecondaryIndexes=[index("local", "p", "d")],
        )
        key = {"p": value(2048), "s": value(1024)}
        parts = {"a": value(1024), "b": value(1024), "c": value(512), "d": value(512)}
        await desk.PutItem(TableName="tab", Item={**key, **parts})
        assert len((await desk.Scan(TableName="tab", IndexName="wide"))["Items"]) == 1
        for more, told in (
            ({"p": value(2049)}, hash_text),
            ({"s": value(1025)}, range_text),
            ({"b": value(1025)}, hash_text),  # together: HASH parts 2048, RANGE parts 1024
            ({"c": value(513)}, range_text),
            ({"d": value(1025)}, range_text),
        ):
            error = await desk.refused("PutItem", TableName="tab", Item={**key, **parts, **more})
            assert error.message == "One or more parameter values were invalid: " + told
            if more.keys() <= {"p", "s"}:
                error = await desk.refused("GetItem", TableName="tab", Key={**key, **more})
            else:
                ((name, changed),) = more.items()
                error = await desk.refused(
                    "UpdateItem",
                    TableName="tab",
                    Key=key,
                    UpdateExpression=f"SET {name} = :v",
                    ExpressionAttributeValues={":v": changed},
                )
                if name != "d":  # fits by itself, not with what the item has
                    assert error.message == together
                    continue
            assert error.message == "One or more parameter values were invalid: " + told

    at_desk(main)


def test_names_of_attributes() -> None:
    too_long = "Attribute name is too large, must be less than 65536 bytes"
    longest = "ä" * 32767 + "x"

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(TableName="tab", Item={**KEY, longest: {"N": "1"}})
        changed = await desk.UpdateItem(
            **ONE,
            UpdateExpression="SET #n = #n + :one",
            ExpressionAttributeNames={"#n": longest},
            ExpressionAttributeValues={":one": {"N": "1"}},
            ReturnValues="UPDATED_NEW",
        )
        assert changed["Attributes"] == {longest: {"N": "2"}}
        for name, told in (("", "Empty attribute name"), (longest + "x", too_long)):
            error = await desk.refused("PutItem", TableName="tab", Item={**KEY, name: {"N": "1"}})
            assert error.message == told
            error = await desk.refused(
                "UpdateItem",
                **ONE,
                UpdateExpression="REMOVE #n",
                ExpressionAttributeNames={"#n": name},
            )
            assert told in error.message and error.message.endswith("for key #n")

    at_desk(main)


def test_texts_and_substitutes_of_expressions() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.GetItem(**ONE, ProjectionExpression="x" * 4096)

        async def refusal(condition: str, **more: Any) -> str:
            error = await desk.refused("DeleteItem", **ONE, ConditionExpression=condition, **more)
            return error.message.removeprefix("Invalid ConditionExpression: ")

        size = "Expression size has exceeded the maximum allowed size; expression size: 4097"
        assert await refusal("a = " + "b" * 4093) == size
        many = " OR ".join(["a < b"] * 151)  # 301 operators
        told = "The expression contains too many operators; operator count: 301"
        assert await refusal(many) == told
        assert await refusal(" OR ".join(["a < b"] * 150)) == "The conditional request failed"
        deep = ".".join(["a"] * 33)
        told = "The document path has too many nesting elements; nesting levels: 33"
        assert await refusal(f"{deep} = b") == told
        assert await refusal(f"{deep[2:]} = b") == "The conditional request failed"
        values = {f":v{n}": {"N": "1"} for n in range(101)}
        told = "The IN operator is provided with too many operands; number of operands: 101"
        listed = f"a IN ({', '.join(values)})"
        assert await refusal(listed, ExpressionAttributeValues=values) == told
        for size, of, alias in ((255, "Names", "#"), (255, "Values", ":")):
            name = alias + "n" * size
            value = "a" if of == "Names" else {"S": "a"}
            told = await refusal(f"{name} = a", **{f"ExpressionAttribute{of}": {name: value}})
            assert told.endswith("The expression attribute map contains a key that is too long")
            name = name[:-1]
            told = await refusal(f"{name} = p", **{f"ExpressionAttribute{of}": {name: value}})
            assert told == "The conditional request failed"
        large = {f":v{n}": text(300 * KILO) for n in range(7)}
        told = await refusal(f"a IN ({', '.join(large)})", ExpressionAttributeValues=large)
        assert told.startswith("Combined size of ExpressionAttributeNames and ")

    at_desk(main)


def test_counts_of_groups() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        keys = [{"p": {"S": str(n)}} for n in range(101)]
        puts = [{"PutRequest": {"Item": k}} for k in keys]
        await desk.BatchWriteItem(RequestItems={"tab": puts[:25]})
        error = await desk.refused("BatchWriteItem", RequestItems={"tab": puts[:26]})
        assert "less than or equal to 25" in error.message or error.message.startswith("Too many")
        await desk.BatchGetItem(RequestItems={"tab": {"Keys": keys[:100]}})
        error = await desk.refused("BatchGetItem", RequestItems={"tab": {"Keys": keys}})
        assert "less than or equal to 100" in error.message or error.message.startswith("Too many")
        for operation, kind, member in (
            ("TransactWriteItems", "Put", "Item"),
            ("TransactGetItems", "Get", "Key"),
        ):
            items = [{kind: {"TableName": "tab", member: k}} for k in keys]
            await getattr(desk, operation)(TransactItems=items[:100])
            error = await desk.refused(operation, TransactItems=items)
            assert "Member must have length less than or equal to 100" in error.message

    at_desk(main)


def test_bytes_of_groups() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        items = [{"p": {"S": f"{n:02}"}, "v": text(350 * KILO)} for n in range(48)]
        for item in items:
            await desk.PutItem(TableName="tab", Item=item)
        keys = [{"p": i["p"]} for i in items]
        answer = await desk.BatchGetItem(RequestItems={"tab": {"Keys": keys}})
        fitting = 16 * KILO // 350
        assert len(answer["Responses"]["tab"]) == fitting
        assert answer["UnprocessedKeys"] == {"tab": {"Keys": keys[fitting:]}}
        gets = [{"Get": {"TableName": "tab", "Key": k}} for k in keys]
        puts = [{"Put": {"TableName": "tab", "Item": i}} for i in items]
        fitting = 4 * KILO // 350
        for operation, group in (("TransactGetItems", gets), ("TransactWriteItems", puts)):
            await getattr(desk, operation)(TransactItems=group[:fitting])
            error = await desk.refused(operation, TransactItems=group[: fitting + 1])
            assert error.code == "ValidationException" and "4 MB" in error.message

    at_desk(main)


def test_indexes_of_a_table() -> None:
    invalid = "One or more parameter values were invalid: "

    async def main(desk: Desk) -> None:
        async def create(name: str, attribute_names: str, **more: Any) -> None:
            await desk.CreateTable(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=attributes(*attribute_names),
                KeySchema=[
                    {"AttributeName": "a", "KeyType": "HASH"},
                    {"AttributeName": "b", "KeyType": "RANGE"},
                ],
                **more,
            )

        async def refusal(attribute_names: str, **more: Any) -> str:
            try:
                await create("refused", attribute_names, **more)
            except Exception as error:
                return getattr(error, "message", "").removeprefix(invalid)
            raise AssertionError("made")

        many = [index(f"by{n:02}", "a") for n in range(21)]
        told = await refusal("ab", GlobalSecondaryIndexes=many)
        assert told == "GlobalSecondaryIndex count exceeds the per-table limit of 20"
        await create("full", "ab", GlobalSecondaryIndexes=many[:20])
        one = {
            "AttributeDefinitions": attributes("a", "b"),
            "GlobalSecondaryIndexUpdates": [{"Create": many[20]}],
        }
        error = await desk.refused("UpdateTable", TableName="full", **one)
        assert (error.code, error.message) == (
            "LimitExceededException",
            "Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit"
            " of 20",
        )
        local = [index(f"by{n}", "a", "b") for n in range(6)]
        told = await refusal("ab", LocalSecondaryIndexes=local)
        assert told == "Number of LocalSecondaryIndexes exceeds per-table limit of 5"
        await create("local", "ab", LocalSecondaryIndexes=local[:5])
        listing = [
            index(
                f"by{n}", "a", projection="INCLUDE", NonKeyAttributes=[f"v{m}" for m in range(20)]
            )
            for n in range(6)
        ]
        told = await refusal("ab", GlobalSecondaryIndexes=listing)
        assert told.endswith("exceeds the per-table limit of 100")
        await create("listing", "ab", GlobalSecondaryIndexes=listing[:5])
        one["GlobalSecondaryIndexUpdates"] = [{"Create": listing[5]}]
        error = await desk.refused("UpdateTable", TableName="listing", **one)
        assert error.message.endswith("exceeds the per-table limit of 100")
        twice = index("byv", "a", projection="INCLUDE", NonKeyAttributes=["v", "v"])
        told = await refusal("ab", GlobalSecondaryIndexes=[twice])
        assert told == "Duplicate element in NonKeyAttributes: v"
        for kinds, told in (
            ("HHHHH", "The KeySchema exceeds the maximum allowed number of HASH key attributes"),
            ("HRRRRR", "The KeySchema exceeds the maximum allowed number of RANGE key attributes"),
            ("HRH", "All HASH key attributes must precede RANGE key attributes in the KeySchema"),
        ):
            names = "abcdef"[: len(kinds)]
            schema = [
                {"AttributeName": n, "KeyType": "HASH" if k == "H" else "RANGE"}
                for n, k in zip(names, kinds, strict=True)
            ]
            wide = {**index("wide", "a"), "KeySchema": schema}
            assert await refusal(names, GlobalSecondaryIndexes=[wide]) == told

    at_desk(main)


def test_texts_of_2026() -> None:
    """Of one fault alone: recorded by the dynamodb-conformance suite."""

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        query = {"TableName": "tab", "KeyConditionExpression": "p = :p", "Limit": 0}
        error = await desk.refused("Query", **query, ExpressionAttributeValues={":p": {"S": "a"}})
        assert error.message == (
            "1 validation error detected: Value at 'Limit' failed to satisfy constraint:"
            " Member must have value greater than or equal to 1"
        )
        error = await desk.refused("Scan", TableName="tab", Limit=0)
        assert "Value '0' at 'limit' failed" in error.message
        error = await desk.refused("PutItem", TableName="", Item=KEY)
        assert error.message == (
            "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint:"
            " Member must have length greater than or equal to 1"
        )

    at_desk(main)
