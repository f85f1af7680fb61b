"""Through the public door, as an application does it: boto3 with an endpoint and keys."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import boto3
import pytest
from boto3.dynamodb.conditions import Attr, Key
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.conftest import Cloud
from tests.waiting import wait


@pytest.fixture(scope="module")
def table(cloud: Cloud) -> Iterator[Any]:
    name = f"orders-{uuid.uuid4().hex[:8]}"
    client = cloud.client("dynamodb")
    client.create_table(
        TableName=name,
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "S"},
            {"AttributeName": "state", "AttributeType": "S"},
        ],
        KeySchema=[
            {"AttributeName": "pk", "KeyType": "HASH"},
            {"AttributeName": "sk", "KeyType": "RANGE"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by-state",
                "KeySchema": [
                    {"AttributeName": "state", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        BillingMode="PAY_PER_REQUEST",
    )
    wait(client, "table_exists", TableName=name)
    resource = boto3.resource(
        "dynamodb",
        endpoint_url=cloud.endpoint,
        region_name=cloud.env["AWS_REGION"],
        aws_access_key_id=cloud.env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=cloud.env["AWS_SECRET_ACCESS_KEY"],
    )
    yield resource.Table(name)
    client.delete_table(TableName=name)
    wait(client, "table_not_exists", TableName=name)


def test_items_of_every_type_come_back_as_they_were(table: Any) -> None:
    item = {
        "pk": "types",
        "sk": "1",
        "number": Decimal("-12.50"),
        "bytes": b"\x00\x01\xff",
        "flag": True,
        "nothing": None,
        "list": [1, "two", {"three": [Decimal("0.1")]}],
        "strings": {"a", "b"},
        "numbers": {Decimal(1), Decimal("2.5")},
        "text": "grüße \u0000 ∑",
    }
    table.put_item(Item=item)
    got = table.get_item(Key={"pk": "types", "sk": "1"})["Item"]
    assert got == item


def test_orders_of_a_product_by_single_table_design(table: Any) -> None:
    with table.batch_writer() as batch:
        for i in range(30):
            state = "open" if i % 3 else "done"
            batch.put_item(Item={"pk": "product#1", "sk": f"order#{i:03}", "state": state, "n": i})
    found = table.query(
        KeyConditionExpression=Key("pk").eq("product#1")
        & Key("sk").between("order#010", "order#019"),
        FilterExpression=Attr("n").gt(14),
        ProjectionExpression="n",
        ReturnConsumedCapacity="TOTAL",
    )
    assert [int(i["n"]) for i in found["Items"]] == [15, 16, 17, 18, 19]
    assert (found["Count"], found["ScannedCount"]) == (5, 10)
    done = table.query(
        IndexName="by-state",
        KeyConditionExpression=Key("state").eq("done"),
        ScanIndexForward=False,
        Limit=2,
    )
    assert [i["sk"] for i in done["Items"]] == ["order#027", "order#024"]
    assert done["LastEvaluatedKey"]["sk"] == "order#024"


def test_optimistic_locking_by_condition(table: Any) -> None:
    key = {"pk": "lock", "sk": "1"}
    table.put_item(Item={**key, "version": 1})
    change = {
        "Key": key,
        "UpdateExpression": "SET version = version + :one",
        "ConditionExpression": "version = :seen",
        "ExpressionAttributeValues": {":one": 1, ":seen": 1},
        "ReturnValues": "UPDATED_NEW",
    }
    assert table.update_item(**change)["Attributes"] == {"version": 2}
    with pytest.raises(ClientError) as caught:
        table.update_item(**change, ReturnValuesOnConditionCheckFailure="ALL_OLD")
    answer = caught.value.response
    assert answer["Error"]["Code"] == "ConditionalCheckFailedException"
    assert answer["Item"]["version"] == {"N": "2"}
    assert answer["Error"]["Message"] == "The conditional request failed"
    assert "message" not in answer  # the text is called Message where an item is shown


def test_a_tables_own_policy_denies_and_stops_denying(cloud: Cloud, table: Any) -> None:
    iam, client = cloud.client("iam"), cloud.client("dynamodb")
    user = f"reader-{uuid.uuid4().hex[:8]}"
    arn = iam.create_user(UserName=user)["User"]["Arn"]
    allow = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "dynamodb:GetItem",
                "Resource": "*",
                "Condition": {"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["mine"]}},
            }
        ],
    }
    iam.put_user_policy(UserName=user, PolicyName="p", PolicyDocument=json.dumps(allow))
    key = iam.create_access_key(UserName=user)["AccessKey"]
    reader = cloud.client(
        "dynamodb", access_key=key["AccessKeyId"], secret_key=key["SecretAccessKey"]
    )
    mine = {"TableName": table.name, "Key": {"pk": {"S": "mine"}, "sk": {"S": "1"}}}
    other = {"TableName": table.name, "Key": {"pk": {"S": "other"}, "sk": {"S": "1"}}}
    assert "Item" not in reader.get_item(**mine)
    with pytest.raises(ClientError, match="AccessDeniedException") as refused:
        reader.get_item(**other)
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400
    deny = {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Deny", "Principal": {"AWS": arn}, "Action": "dynamodb:*", "Resource": "*"}
        ],
    }
    put = client.put_resource_policy(ResourceArn=table.table_arn, Policy=json.dumps(deny))
    got = client.get_resource_policy(ResourceArn=table.table_arn)
    assert json.loads(got["Policy"]) == deny and got["RevisionId"] == put["RevisionId"]
    with pytest.raises(ClientError, match="AccessDenied"):
        reader.get_item(**mine)
    client.delete_resource_policy(ResourceArn=table.table_arn)
    assert "Item" not in reader.get_item(**mine)


def test_errors_are_the_services(cloud: Cloud, table: Any) -> None:
    client = cloud.client("dynamodb")
    with pytest.raises(client.exceptions.ResourceNotFoundException):
        client.get_item(TableName="no-such-table", Key={"a": {"S": "b"}})
    with pytest.raises(ClientError, match="The provided key element does not match the schema"):
        client.get_item(TableName=table.name, Key={"pk": {"S": "b"}})
    with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
        client.transact_write_items(
            TransactItems=[
                {
                    "ConditionCheck": {
                        "TableName": table.name,
                        "Key": {"pk": {"S": "absent"}, "sk": {"S": "0"}},
                        "ConditionExpression": "attribute_exists(pk)",
                    }
                }
            ]
        )
    assert caught.value.response["CancellationReasons"][0]["Code"] == "ConditionalCheckFailed"
    with pytest.raises(ClientError) as not_built:
        client.describe_export(ExportArn="arn:aws:dynamodb:eu-west-1:000000000000:table/a/export/b")
    assert "DescribeExport" in str(not_built.value)


def test_the_accounts_own_key_is_named_and_there(cloud: Cloud) -> None:
    client, name = cloud.client("dynamodb"), f"sealed-{uuid.uuid4().hex[:8]}"
    made = client.create_table(
        TableName=name,
        **keyed(id="S"),
        SSESpecification={"Enabled": True},
    )["TableDescription"]
    told = made["SSEDescription"]
    key = cloud.client("kms").describe_key(KeyId=told["KMSMasterKeyArn"])["KeyMetadata"]
    assert (key["Arn"], key["KeyManager"]) == (told["KMSMasterKeyArn"], "AWS")
    change = client.update_table(TableName=name, SSESpecification={"Enabled": False})
    assert change["TableDescription"]["SSEDescription"] == {**told, "Status": "UPDATING"}
    assert "SSEDescription" not in client.describe_table(TableName=name)["Table"]
    change = client.update_table(TableName=name, SSESpecification={"Enabled": True})
    assert change["TableDescription"]["SSEDescription"] == told
    gone = client.delete_table(TableName=name)["TableDescription"]
    assert gone["TableStatus"] == "DELETING" and "WarmThroughput" not in gone


def test_what_is_asked_of_other_regions_is_refused_by_name(cloud: Cloud, table: Any) -> None:
    elsewhere = [{"Create": {"RegionName": "eu-central-1"}}]
    with pytest.raises(ClientError, match="ReplicaUpdates: global tables are not offered"):
        cloud.client("dynamodb").update_table(TableName=table.name, ReplicaUpdates=elsewhere)
