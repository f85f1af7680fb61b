"""Small ways of the service that clients have been seen to rely on, each told with its words."""

from __future__ import annotations

from typing import Any

import pytest

from tests.services.dynamodb.desk import Desk, at_desk, index

ONE: dict[str, Any] = {"TableName": "tab", "Key": {"p": {"S": "a"}}}
NUMBER = {"N": "1"}


@pytest.mark.parametrize(
    "update",
    [
        {"UpdateExpression": "REMOVE x"},
        {"UpdateExpression": "REMOVE x.y, z[3]"},
        {
            "UpdateExpression": "DELETE x :x REMOVE y",
            "ExpressionAttributeValues": {":x": {"SS": ["b"]}},
        },
        {"AttributeUpdates": {"x": {"Action": "DELETE"}}},
        {"AttributeUpdates": {"x": {"Action": "DELETE", "Value": {"SS": ["b"]}}}},
    ],
)
def test_what_only_takes_away_makes_no_item(update: dict[str, Any]) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for returns in ("NONE", "ALL_NEW", "UPDATED_OLD"):
            answer = await desk.UpdateItem(**ONE, **update, ReturnValues=returns)
            assert answer == {}
            assert await desk.GetItem(**ONE) == {}
        answer = await desk.UpdateItem(**ONE, **update, ReturnConsumedCapacity="TOTAL")
        assert answer["ConsumedCapacity"]["CapacityUnits"] == 1.0
        await desk.PutItem(TableName="tab", Item={**ONE["Key"], "v": NUMBER, "x": {"SS": ["b"]}})
        if "x.y" not in str(update):
            answer = await desk.UpdateItem(**ONE, **update, ReturnValues="ALL_NEW")
            assert answer == {"Attributes": {**ONE["Key"], "v": NUMBER}}

    at_desk(main)


def test_what_only_takes_away_makes_no_item_in_a_transaction() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        given = {"ExpressionAttributeValues": {":x": {"SS": ["b"]}}}
        for update in (
            {"UpdateExpression": "REMOVE x"},
            {"UpdateExpression": "DELETE x :x REMOVE y.z", **given},
        ):
            update |= {"ConditionExpression": "attribute_not_exists(p)"}
            other = {"Put": {"TableName": "tab", "Item": {"p": {"S": "other"}}}}
            answer = await desk.TransactWriteItems(
                TransactItems=[{"Update": {**ONE, **update}}, other],
                ReturnConsumedCapacity="TOTAL",
            )
            assert answer["ConsumedCapacity"][0]["CapacityUnits"] == 4.0
            assert await desk.GetItem(**ONE) == {}
        assert (await desk.Scan(TableName="tab"))["Items"] == [other["Put"]["Item"]]

        await desk.PutItem(TableName="tab", Item={**ONE["Key"], "v": NUMBER, "x": {"SS": ["b"]}})
        update = {"UpdateExpression": "DELETE x :x REMOVE v", **given}
        await desk.TransactWriteItems(TransactItems=[{"Update": {**ONE, **update}}])
        assert await desk.GetItem(**ONE) == {"Item": ONE["Key"]}

    at_desk(main)


def test_what_only_takes_away_under_any_legacy_condition() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        expected = {"a": {"Exists": False}, "b": {"Value": NUMBER}}
        legacy = {"AttributeUpdates": {"x": {"Action": "DELETE"}}, "Expected": expected}
        assert await desk.UpdateItem(**ONE, **legacy, ConditionalOperator="OR") == {}
        assert await desk.GetItem(**ONE) == {}

    at_desk(main)


def test_its_own_condition_is_judged_all_the_same() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        remove = {"UpdateExpression": "REMOVE x"}
        met = "attribute_not_exists(p) OR (p = :a AND x = :a)"
        given = {"ExpressionAttributeValues": {":a": {"S": "a"}}}
        assert await desk.UpdateItem(**ONE, **remove, ConditionExpression=met, **given) == {}
        assert await desk.GetItem(**ONE) == {}
        unmet = {"ConditionExpression": "attribute_exists(p)"}
        error = await desk.refused("UpdateItem", **ONE, **remove, **unmet)
        assert error.code == "ConditionalCheckFailedException"
        legacy = {"AttributeUpdates": {"x": {"Action": "DELETE"}}}
        expected = {"Expected": {"x": {"Exists": False}}}
        assert await desk.UpdateItem(**ONE, **legacy, **expected) == {}
        assert await desk.GetItem(**ONE) == {}

        await desk.PutItem(TableName="tab", Item={**ONE["Key"], "x": NUMBER})
        for shown in ({}, {"ReturnValuesOnConditionCheckFailure": "ALL_OLD"}):
            error = await desk.refused(
                "UpdateItem", **ONE, **remove, ConditionExpression=met, **given, **shown
            )
            assert error.code == "ConditionalCheckFailedException"
            assert ("Item" in error.fields) == bool(shown)
        one = {"ExpressionAttributeValues": {":a": NUMBER}, "ConditionExpression": "x = :a"}
        await desk.UpdateItem(**ONE, **remove, **one)
        assert await desk.GetItem(**ONE) == {"Item": ONE["Key"]}

    at_desk(main)


@pytest.mark.parametrize(
    ("update", "words"),
    [
        ("SET _abc = :v", 'Syntax error; token: "_", near: "SET _abc"'),
        ("SET a = _f(b, :v)", 'Syntax error; token: "_", near: "= _f"'),
        (
            "SET a[99999999999] = :v",
            "List index is not within the allowable range; index: [99999999999]",
        ),
        (
            "SET a = list_append(list_append(b, c), :v)",
            "The function is not allowed to be used this way in an expression;"
            " function: list_append",
        ),
    ],
)
def test_updates_are_read_strictly(update: str, words: str) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        error = await desk.refused(
            "UpdateItem",
            **ONE,
            UpdateExpression=update,
            ExpressionAttributeValues={":v": {"L": [NUMBER]}},
        )
        assert error.message == f"Invalid UpdateExpression: {words}"

    at_desk(main)


@pytest.mark.parametrize(
    ("condition", "words"),
    [
        ("_a = :v", 'Syntax error; token: "_", near: "_a"'),
        ("a[4294967296] = :v", "List index is not within the allowable range; index: [4294967296]"),
        (
            "if_not_exists(a, a) = :v",
            "The function is not allowed in a condition expression; function: if_not_exists",
        ),
        (
            "a BETWEEN :v AND :v",
            "Incorrect operand type for operator or function; operator or function: BETWEEN,"
            " operand type: L",
        ),
    ],
)
def test_conditions_are_read_strictly(condition: str, words: str) -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        error = await desk.refused(
            "PutItem",
            TableName="tab",
            Item=ONE["Key"],
            ConditionExpression=condition,
            ExpressionAttributeValues={":v": {"L": []}},
        )
        assert error.message == f"Invalid ConditionExpression: {words}"

    at_desk(main)


def test_projections_and_key_conditions_are_read_strictly() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", "_r:S")
        key = {"p": {"S": "a"}, "_r": {"S": "b"}}
        error = await desk.refused(
            "GetItem", TableName="tab", Key=key, ProjectionExpression="a[99999999999]"
        )
        assert error.message.startswith("Invalid ProjectionExpression: List index is not within")
        values = {":p": {"S": "a"}, ":r": {"S": "b"}}
        for _ in range(2):
            error = await desk.refused(
                "Query",
                TableName="tab",
                KeyConditionExpression="p = :p AND _r = :r",
                ExpressionAttributeValues=values,
            )
            assert error.message.startswith(
                'Invalid KeyConditionExpression: Syntax error; token: "_"'
            )

    at_desk(main)


def test_names_of_attributes_have_a_length_everywhere() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        for name, words in (("", "Empty attribute name"), ("x" * 65536, "6553")):
            for operation, params in (
                ("GetItem", {**ONE, "AttributesToGet": [name]}),
                ("UpdateItem", {**ONE, "AttributeUpdates": {name: {"Value": NUMBER}}}),
                ("DeleteItem", {**ONE, "Expected": {name: {"Exists": False}}}),
            ):
                error = await desk.refused(operation, **params)
                assert error.code == "ValidationException", operation
                assert words in error.message[-80:], operation

    at_desk(main)


def test_a_conditional_operator_needs_something_expected() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        change = {"AttributeUpdates": {"x": {"Value": NUMBER}}, "Expected": {}}
        error = await desk.refused("UpdateItem", **ONE, **change, ConditionalOperator="AND")
        assert error.message == "ConditionalOperator cannot be used without Filter or Expected"
        assert await desk.UpdateItem(**ONE, **change) == {}

    at_desk(main)


def test_a_sum_of_too_many_digits_is_an_overflow() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        error = await desk.refused(
            "UpdateItem",
            **ONE,
            UpdateExpression="SET x = :a + :b",
            ExpressionAttributeValues={":a": {"N": "1e50"}, ":b": NUMBER},
        )
        assert error.message.startswith("Number overflow.")

    at_desk(main)


def test_a_partition_of_one_item_is_read_at_once() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        await desk.PutItem(TableName="tab", Item=ONE["Key"])
        asked: dict[str, Any] = {
            "TableName": "tab",
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}},
        }
        for more in ({"Limit": 1}, {"Limit": 1, "Select": "ALL_ATTRIBUTES"}):
            answer = await desk.Query(**asked, **more)
            assert answer["Count"] == 1
            assert "LastEvaluatedKey" not in answer
        error = await desk.refused("Query", **asked, ExclusiveStartKey=ONE["Key"])
        assert error.message.endswith("ExclusiveStartKey: {p=AttributeValue: {S:a}}")
        error = await desk.refused("Query", **asked, ExclusiveStartKey={"p": NUMBER})
        assert "ExclusiveStartKey" not in error.message  # what it is made of is judged first

    at_desk(main)


def test_the_first_mistake_of_a_transaction_is_its_only_reason() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        items = ({"p": {"S": "a"}}, {"p": NUMBER}, {"p": {"N": "2"}})
        error = await desk.refused(
            "TransactWriteItems",
            TransactItems=[{"Put": {"TableName": "tab", "Item": item}} for item in items],
        )
        reasons = error.fields["CancellationReasons"]
        assert [r["Code"] for r in reasons] == ["None", "ValidationError", "None"]
        assert ["Message" in r for r in reasons] == [False, True, False]

    at_desk(main)


def test_only_the_last_condition_on_an_index_may_be_a_range() -> None:
    async def main(desk: Desk) -> None:
        keys = [("h", "HASH"), ("r", "RANGE"), ("s", "RANGE")]
        names = ("p", "h", "r", "s")
        await desk.CreateTable(
            TableName="tab",
            AttributeDefinitions=[{"AttributeName": n, "AttributeType": "S"} for n in names],
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "idx",
                    "KeySchema": [{"AttributeName": n, "KeyType": k} for n, k in keys],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
        )
        item = {n: {"S": n} for n in names}
        await desk.PutItem(TableName="tab", Item=item)
        values = {f":{n}": {"S": n} for n in ("h", "r", "s")}
        for condition in ("r > :r AND s = :s", "begins_with(r, :r) AND s > :s"):
            error = await desk.refused(
                "Query",
                TableName="tab",
                IndexName="idx",
                KeyConditionExpression=f"h = :h AND {condition}",
                ExpressionAttributeValues=values,
            )
            assert error.message == "Query key condition not supported"
        answer = await desk.Query(
            TableName="tab",
            IndexName="idx",
            KeyConditionExpression="h = :h AND r = :r AND s >= :s",
            ExpressionAttributeValues=values,
        )
        assert answer["Items"] == [item]

    at_desk(main)


def test_a_new_index_keeps_names_and_types() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S", also=["x:S"], GlobalSecondaryIndexes=[index("idx", "x")])
        create = {
            "IndexName": "idx",
            "KeySchema": [{"AttributeName": "x", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        }
        for name, kind, words in (
            ("idx", "S", "Attempting to create an index which already exists"),
            (
                "other",
                "N",
                "One or more parameter values were invalid: Attributes cannot be redefined. Please"
                " check that your attribute has the same type as previously defined. Existing"
                " schema: Schema:[SchemaElement: key{x:S:HASH}] New schema:"
                " Schema:[SchemaElement: key{x:N:HASH}]",
            ),
        ):
            error = await desk.refused(
                "UpdateTable",
                TableName="tab",
                AttributeDefinitions=[{"AttributeName": "x", "AttributeType": kind}],
                GlobalSecondaryIndexUpdates=[{"Create": {**create, "IndexName": name}}],
            )
            assert error.message == words

    at_desk(main)


def test_tags_are_of_letters_and_a_few_signs() -> None:
    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        arn = (await desk.DescribeTable(TableName="tab"))["Table"]["TableArn"]
        for key, value in (("hi!", "x"), ("x", "d%g"), ("x", '"y"')):
            error = await desk.refused(
                "TagResource", ResourceArn=arn, Tags=[{"Key": key, "Value": value}]
            )
            assert "Tags can only contain letters" in error.message
        tag = {"Key": "naïve key_1", "Value": "a+b-c=d.e/f:g@h ٣"}
        await desk.TagResource(ResourceArn=arn, Tags=[tag])
        assert (await desk.ListTagsOfResource(ResourceArn=arn))["Tags"] == [tag]

    at_desk(main)


def test_streams_take_no_more_than_their_reference_says() -> None:
    async def main(desk: Desk) -> None:
        view = {"StreamEnabled": True, "StreamViewType": "KEYS_ONLY"}
        await desk.table("tab", "p:S", StreamSpecification=view)
        (stream,) = (await desk.ListStreams())["Streams"]
        arn = stream["StreamArn"]
        (shard,) = (await desk.DescribeStream(StreamArn=arn))["StreamDescription"]["Shards"]
        at = {"StreamArn": arn, "ShardId": shard["ShardId"]}
        number = shard["SequenceNumberRange"]["StartingSequenceNumber"]
        latest = await desk.GetShardIterator(**at, ShardIteratorType="LATEST")
        other = {"StreamArn": "x" * 40}
        for operation, params in (
            ("ListStreams", {"Limit": 101}),
            ("ListStreams", {"ExclusiveStartStreamArn": "x" * 40}),
            ("DescribeStream", {"StreamArn": arn, "Limit": 101}),
            ("DescribeStream", other),
            ("DescribeStream", {"StreamArn": arn, "ShardFilter": {"Type": "CHILD_SHARDS"}}),
            ("DescribeStream", {"StreamArn": arn, "ShardFilter": {"ShardId": shard["ShardId"]}}),
            ("GetShardIterator", {**at, **other, "ShardIteratorType": "LATEST"}),
            (
                "GetShardIterator",
                {**at, "ShardIteratorType": "LATEST", "SequenceNumber": number},
            ),
            ("GetRecords", {**latest, "Limit": 1001}),
        ):
            error = await desk.refused(operation, **params)
            assert error.code == "ValidationException", (operation, params)
        wanted = {"ShardId": shard["ShardId"], "Type": "CHILD_SHARDS"}
        told = await desk.DescribeStream(StreamArn=arn, ShardFilter=wanted)
        assert told["StreamDescription"]["Shards"] == []
        unknown = {**wanted, "ShardId": "shardId-" + "0" * 30}
        error = await desk.refused("DescribeStream", StreamArn=arn, ShardFilter=unknown)
        assert error.code == "ResourceNotFoundException"

    at_desk(main)


def empty(kind: str) -> dict[str, str]:
    return {kind: ""}


@pytest.mark.parametrize(("kind", "noun"), [("S", "string"), ("B", "binary")])
def test_an_empty_key_ends_a_transaction_without_reasons(kind: str, noun: str) -> None:
    async def main(desk: Desk) -> None:
        indexes = [index("by-x", "x")]
        await desk.table("tab", f"p:{kind}", also=(f"x:{kind}",), GlobalSecondaryIndexes=indexes)
        key = {"TableName": "tab", "Key": {"p": empty(kind)}}
        update = {"UpdateExpression": "SET v = :v", "ExpressionAttributeValues": {":v": NUMBER}}
        check = {"ConditionExpression": "attribute_exists(p)"}
        for operation in (
            {"Update": key | update},
            {"Delete": key},
            {"ConditionCheck": key | check},
            {"Put": {"TableName": "tab", "Item": key["Key"]}},
            {"Put": {"TableName": "tab", "Item": {"p": {kind: "YQ=="}, "x": empty(kind)}}},
        ):
            error = await desk.refused("TransactWriteItems", TransactItems=[operation])
            assert error.code == "ValidationException"
            assert error.message.startswith("One or more parameter values are not valid. ")
            assert f"cannot contain an empty {noun} value" in error.message
        for alone in (
            await desk.refused("TransactGetItems", TransactItems=[{"Get": key}]),
            await desk.refused("GetItem", **key),
            await desk.refused("DeleteItem", **key),
            await desk.refused("UpdateItem", **key, **update),
        ):
            assert alone.code == "ValidationException"
            assert alone.message == (
                "One or more parameter values are not valid. The AttributeValue for a key attribute"
                f" cannot contain an empty {noun} value. Key: p"
            )
        wrong = {"TableName": "tab", "Key": {"p": NUMBER}}
        for operation, members in (("TransactWriteItems", "Delete"), ("TransactGetItems", "Get")):
            error = await desk.refused(operation, TransactItems=[{members: wrong}])
            assert error.code == "TransactionCanceledException"

    at_desk(main)


def test_select_against_what_is_to_be_shown() -> None:
    only = "ALL_PROJECTED_ATTRIBUTES can be used only when Querying using an IndexName"
    choose = (
        "Must specify the AttributesToGet or ProjectionExpression when choosing to get"
        " SPECIFIC_ATTRIBUTES"
    )
    shown = "Cannot specify the ProjectionExpression when choosing to get"
    listed = "Cannot specify the AttributesToGet when choosing to get"

    async def main(desk: Desk) -> None:
        await desk.table("tab", "p:S")
        equals = {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}
        new = {
            "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": {":p": {"S": "a"}},
        }
        old = {"KeyConditions": {"p": equals}}
        for select, more, words in (
            ("ALL_PROJECTED_ATTRIBUTES", {}, only),
            ("SPECIFIC_ATTRIBUTES", {}, choose),
            ("COUNT", {"ProjectionExpression": "v"}, f"{shown} only the Count"),
            ("ALL_ATTRIBUTES", {"ProjectionExpression": "v"}, f"{shown} ALL_ATTRIBUTES"),
            ("COUNT", {"AttributesToGet": ["v"]}, f"{listed} only the Count"),
            ("ALL_ATTRIBUTES", {"AttributesToGet": ["v"]}, f"{listed} ALL_ATTRIBUTES"),
        ):
            asked: dict[str, Any] = {"TableName": "tab", "Select": select, **more}
            assert (await desk.refused("Scan", **asked)).message == words
            condition = old if "AttributesToGet" in more else new
            refused = await desk.refused("Query", **asked, **condition)
            assert refused.message == f"1 validation error detected: {words}"

    at_desk(main)
