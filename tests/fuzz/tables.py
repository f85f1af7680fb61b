"""Valid requests to tables: every form of expression, PartiQL, legacy parameters, control."""

from __future__ import annotations

from typing import Any

ITEM = {
    "pk": {"S": "a"}, "sk": {"N": "1"}, "s": {"S": "text é"}, "n": {"N": "-12.50"},
    "b": {"B": "AQID"}, "ss": {"SS": ["a"]}, "ns": {"NS": ["1", "2.5"]}, "bs": {"BS": ["AQ=="]},
    "l": {"L": [{"S": "x"}, {"N": "1"}, {"M": {"y": {"BOOL": True}}}]},
    "m": {"M": {"x": {"N": "1"}, "deep": {"M": {"er": {"L": [{"NULL": True}]}}}}},
}  # fmt: skip
KEY = {"pk": {"S": "a"}, "sk": {"N": "1"}}
NAMES = {"#n": "n", "#m": "m"}
CONDITIONS = (
    "attribute_exists(pk) AND #n = :v",
    "NOT (contains(s, :t) OR begins_with(s, :t)) AND size(l) >= :v",
    "#n BETWEEN :v AND :w OR #n IN (:v, :w, :t)",
    "attribute_type(#m.deep.er[0], :t) AND l[2].y <> :t AND attribute_not_exists(ss)",
)
UPDATES = (
    "SET #n = #n + :v, s = if_not_exists(s, :t), l = list_append(l, :l) REMOVE b, #m.x",
    "ADD #n :v, ns :ns DELETE ss :ss",
    "SET l[1] = :v, #m.deep.er[0] = :t",
)
ALL = {
    ":v": {"N": "1"}, ":w": {"N": "9"}, ":t": {"S": "S"}, ":l": {"L": [{"N": "1"}]},
    ":ns": {"NS": ["7"]}, ":ss": {"SS": ["a"]},
}  # fmt: skip
STATEMENTS = (
    "SELECT * FROM \"{t}\" WHERE pk = 'a' AND sk BETWEEN 1 AND 5 ORDER BY sk DESC",
    'SELECT pk, n FROM "{t}"."by-s" WHERE s = \'text\' AND contains("s", \'x\')',
    "INSERT INTO \"{t}\" VALUE {{'pk': 'p', 'sk': 2, 'l': [1, null, <<'a'>>], 'm': {{'x': true}}}}",
    "UPDATE \"{t}\" SET n = n + 1 SET l = list_append(l, [2]) REMOVE b WHERE pk = 'a' AND sk = 1",
    "DELETE FROM \"{t}\" WHERE pk = 'a' AND sk = 1 AND attribute_type(n, 'N')",
    'SELECT * FROM "{t}" WHERE pk IN [?, ?] AND n IS NOT MISSING',
    "EXISTS(SELECT * FROM \"{t}\" WHERE pk = 'a' AND sk = 1 AND n = 1)",
)


def bound(text: str) -> dict[str, Any]:
    """Names and values an expression uses."""
    names = {n: v for n, v in NAMES.items() if n in text}
    values = {n: v for n, v in ALL.items() if n in text.replace(",", " ").replace(")", " ").split()}
    told = {"ExpressionAttributeNames": names, "ExpressionAttributeValues": values}
    return {member: held for member, held in told.items() if held}


def requests(table: str) -> list[tuple[str, dict[str, Any]]]:
    """(operation, parameters)."""
    at = {"TableName": table, "Key": KEY}
    made: list[tuple[str, dict[str, Any]]] = [
        ("GetItem", {**at, "ProjectionExpression": "s, #m.x, l[0]",
                     "ExpressionAttributeNames": {"#m": "m"}, "ReturnConsumedCapacity": "TOTAL"}),
        ("PutItem", {"TableName": table, "Item": ITEM, "ReturnValues": "ALL_OLD"}),
        ("BatchGetItem", {"RequestItems": {table: {"Keys": [KEY, {**KEY, "sk": {"N": "2"}}]}}}),
        ("BatchWriteItem", {"RequestItems": {table: [{"PutRequest": {"Item": ITEM}}]}}),
        ("TransactGetItems", {"TransactItems": [{"Get": at}]}),
        ("Scan", {"TableName": table, "TotalSegments": 2, "Segment": 1, "Limit": 3}),
        ("Query", {"TableName": table, "KeyConditions": {
            "pk": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}}}),
        ("Scan", {"TableName": table, "ConditionalOperator": "OR", "ScanFilter": {
            "n": {"ComparisonOperator": "BETWEEN", "AttributeValueList": [{"N": "1"}, {"N": "2"}]},
            "s": {"ComparisonOperator": "NOT_NULL"}}}),
        ("UpdateItem", {**at, "AttributeUpdates": {"n": {"Action": "ADD", "Value": {"N": "1"}}},
                        "Expected": {"s": {"Exists": True, "Value": {"S": "x"}}}}),
        ("DescribeTable", {"TableName": f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}"}),
        ("ListTables", {"Limit": 3, "ExclusiveStartTableName": "aaa"}),
        ("UpdateTimeToLive", {"TableName": table, "TimeToLiveSpecification": {
            "Enabled": True, "AttributeName": "ttl"}}),
        ("TagResource", {"ResourceArn": f"arn:aws:dynamodb:us-east-1:000000000000:table/{table}",
                         "Tags": [{"Key": "a", "Value": "b"}]}),
        ("CreateTable", creation(table + "-more")),
        ("UpdateTable", {"TableName": table, "StreamSpecification": {
            "StreamEnabled": True, "StreamViewType": "NEW_IMAGE"}}),
    ]  # fmt: skip
    for text in CONDITIONS:
        told = {"ConditionExpression": text, **bound(text)}
        made.append(("PutItem", {"TableName": table, "Item": ITEM, **told}))
        made.append(
            ("DeleteItem", {**at, **told, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})
        )
        made.append(("Scan", {"TableName": table, "FilterExpression": text, **bound(text)}))
        check = {"ConditionCheck": {**at, **told}}
        put = {"Put": {"TableName": table, "Item": {**ITEM, "sk": {"N": "3"}}}}
        made.append(("TransactWriteItems", {"TransactItems": [check, put]}))
    for text in UPDATES:
        update = {**at, "UpdateExpression": text, **bound(text)}
        made.append(("UpdateItem", {**update, "ReturnValues": "UPDATED_NEW"}))
    for text in ("pk = :t AND sk > :v", "pk = :t AND sk BETWEEN :v AND :w"):
        made.append(("Query", {"TableName": table, "KeyConditionExpression": text, **bound(text),
                               "ExclusiveStartKey": KEY, "Limit": 2}))  # fmt: skip
    for text in STATEMENTS:
        statement = {"Statement": text.format(t=table)}
        if "?" in text:
            statement |= {"Parameters": [{"S": "a"}, {"S": "b"}]}  # type: ignore[dict-item]
        made.append(("ExecuteStatement", statement))
        made.append(("BatchExecuteStatement", {"Statements": [statement]}))
        made.append(("ExecuteTransaction", {"TransactStatements": [statement]}))
    return made


def creation(table: str) -> dict[str, Any]:
    """CreateTable's parameters."""
    types = {"pk": "S", "sk": "N", "s": "S", "n": "N"}
    keys = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}]
    local = [{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "n", "KeyType": "RANGE"}]
    return {
        "TableName": table,
        "AttributeDefinitions": [
            {"AttributeName": n, "AttributeType": t} for n, t in types.items()
        ],
        "KeySchema": keys,
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [{
            "IndexName": "by-s", "KeySchema": [{"AttributeName": "s", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"]}}],
        "LocalSecondaryIndexes": [{
            "IndexName": "by-n", "KeySchema": local, "Projection": {"ProjectionType": "ALL"}}],
    }  # fmt: skip
