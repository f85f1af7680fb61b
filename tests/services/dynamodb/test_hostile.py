"""Requests bent out of shape: always the service's kind of error, never a surprise."""

from __future__ import annotations

import copy
import random
from typing import Any

import pytest

from lab.tables import keyed
from pileus.errors import AwsError
from tests.services.dynamodb.desk import Desk, at_desk, index

KEY = {"p": {"S": "a"}, "s": {"N": "1"}}
VALUES = {":p": {"S": "a"}, ":n": {"N": "1"}}
REQUESTS: list[tuple[str, dict[str, Any]]] = [
    ("PutItem", {"TableName": "tab", "Item": {**KEY, "l": {"L": [{"M": {"x": {"SS": ["a"]}}}]}}}),
    ("GetItem", {"TableName": "tab", "Key": KEY, "ProjectionExpression": "l[0].x, p"}),
    (
        "UpdateItem",
        {
            "TableName": "tab",
            "Key": KEY,
            "UpdateExpression": "SET l[0].x = :p, v = if_not_exists(v, :n) + :n REMOVE w ADD c :n",
            "ConditionExpression": "attribute_not_exists(q) OR size(l) < :n",
            "ExpressionAttributeValues": VALUES,
            "ReturnValues": "UPDATED_NEW",
        },
    ),
    ("DeleteItem", {"TableName": "tab", "Key": KEY, "Expected": {"v": {"Exists": False}}}),
    (
        "Query",
        {
            "TableName": "tab",
            "IndexName": "by-g",
            "KeyConditionExpression": "g = :p AND s BETWEEN :n AND :n",
            "ExpressionAttributeValues": VALUES,
            "ExclusiveStartKey": {**KEY, "g": {"S": "a"}},
            "Limit": 3,
            "ReturnConsumedCapacity": "INDEXES",
        },
    ),
    (
        "Scan",
        {
            "TableName": "tab",
            "FilterExpression": "contains(l, :p) AND NOT v IN (:n, :p)",
            "ExpressionAttributeValues": VALUES,
            "Segment": 0,
            "TotalSegments": 2,
            "ExclusiveStartKey": KEY,
        },
    ),
    ("Scan", {"TableName": "tab", "ScanFilter": {"v": {"ComparisonOperator": "NOT_NULL"}}}),
    ("BatchGetItem", {"RequestItems": {"tab": {"Keys": [KEY], "ConsistentRead": True}}}),
    ("BatchWriteItem", {"RequestItems": {"tab": [{"PutRequest": {"Item": KEY}}]}}),
    (
        "TransactWriteItems",
        {
            "TransactItems": [
                {"Put": {"TableName": "tab", "Item": KEY}},
                {"ConditionCheck": {"TableName": "tab", "Key": {**KEY, "s": {"N": "2"}},
                                    "ConditionExpression": "attribute_not_exists(p)"}},
            ],
            "ReturnConsumedCapacity": "TOTAL",
        },
    ),
    ("TransactGetItems", {"TransactItems": [{"Get": {"TableName": "tab", "Key": KEY}}]}),
    ("UpdateTable", {"TableName": "tab", "DeletionProtectionEnabled": False}),
    ("ListTables", {"Limit": 3, "ExclusiveStartTableName": "abc"}),
    ("DescribeTable", {"TableName": "tab"}),
    ("UpdateTimeToLive", {"TableName": "tab",
                          "TimeToLiveSpecification": {"Enabled": True, "AttributeName": "t"}}),
    ("TagResource", {"ResourceArn": "arn:aws:dynamodb:us-east-1:000000000000:table/tab",
                     "Tags": [{"Key": "a", "Value": "b"}]}),
    (
        "CreateTable",
        {
            "TableName": "other",
            **keyed(p="S"),
            "GlobalSecondaryIndexes": [index("by-p", "p")],
            "StreamSpecification": {"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        },
    ),
]  # fmt: skip
ODD: list[Any] = [
    *(None, True, 0, -1, 1.5, 2**63 - 1, "", "x", "a" * 300, [], {}, [None], [[]], {"": {}}),
    *({"S": None}, {"N": "1e999"}, {"S": ""}, {"M": {}}, {"L": [{}]}, {"NS": ["1", "1"]}),
    *({"B": "="}, {"X": 1}, {"S": "a", "N": "1"}, "tab", ":p", "((", "a.b[0", "#x", ["p"]),
    *("arn:aws:dynamodb:::table/x", "\x00"),
]  # fmt: skip


def bend(value: Any, pick: random.Random) -> Any:
    """A copy with one place replaced, removed, repeated or cut."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        items = node.items() if isinstance(node, dict) else enumerate(node)
        for name, child in list(items):
            places.append((node, name))
            if isinstance(child, dict | list):
                walk(child)

    walk(value)
    node, name = pick.choice(places)
    what = pick.randrange(6)
    if what == 0:
        del node[name]
    elif what == 1 and isinstance(node[name], str) and node[name]:
        text = node[name]
        cut = pick.randrange(len(text))
        node[name] = (
            text[:cut] + pick.choice(["", "(", ")", ":", "#", " AND ", "[", "."]) + text[cut + 1 :]
        )
    elif what == 2 and isinstance(node[name], list):
        node[name] = node[name] * pick.choice([2, 120])
    else:
        node[name] = copy.deepcopy(pick.choice(ODD))
    return value


def test_bent_requests_are_answered_in_kind() -> None:
    async def main(desk: Desk) -> None:
        await desk.table(
            "tab", "p:S", "s:N", also=("g:S",), GlobalSecondaryIndexes=[index("by-g", "g", "s")]
        )
        pick = random.Random(7)
        refused = 0
        for _ in range(1500):
            operation, request = pick.choice(REQUESTS)
            for _ in range(pick.randint(1, 3)):
                request = bend(request, pick) if request else request
            try:
                await getattr(desk, operation)(**request)
            except AwsError as error:
                assert error.status == 400 and error.code.endswith("Exception"), error
                refused += 1
        assert 500 < refused < 1500

    at_desk(main)


@pytest.mark.parametrize("moment", ["x", True, 1e308, -1e308, 10**18])
def test_times_that_are_none_are_refused(moment: Any) -> None:
    async def test(desk: Desk) -> None:
        table = await desk.table("times", "p:S")
        await desk.UpdateContinuousBackups(
            TableName=table, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
        arn = desk.service_table(table).arn
        restore = {"SourceTableName": table, "TargetTableName": "back", "RestoreDateTime": moment}
        spec = {"ExportFromTime": moment, "ExportToTime": moment}
        changes = {"ExportType": "INCREMENTAL_EXPORT", "IncrementalExportSpecification": spec}
        export = {"TableArn": arn, "S3Bucket": "shelf"}
        for operation, params in (
            ("RestoreTableToPointInTime", restore),
            ("ExportTableToPointInTime", {**export, "ExportTime": moment}),
            ("ExportTableToPointInTime", {**export, **changes}),
            ("ListBackups", {"TimeRangeLowerBound": moment}),
        ):
            refused = await desk.refused(operation, **params)
            assert refused.code == "SerializationException", operation

    at_desk(test)
