"""Streams through the public door: what changed, in order, as the view says."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from lab.tables import keyed
from tests.conftest import Cloud


def make(client: Any, view: str) -> tuple[str, str]:
    name = f"changes-{uuid.uuid4().hex[:8]}"
    made = client.create_table(
        TableName=name,
        **keyed(p="S"),
        StreamSpecification={"StreamEnabled": True, "StreamViewType": view},
    )
    return name, made["TableDescription"]["LatestStreamArn"]


def read_all(streams: Any, arn: str, kind: str = "TRIM_HORIZON", **more: Any) -> list[Any]:
    (shard,) = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"]
    iterator = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard["ShardId"], ShardIteratorType=kind, **more
    )["ShardIterator"]
    out: list[Any] = []
    while True:
        page = streams.get_records(ShardIterator=iterator, Limit=2)
        if not page["Records"]:
            return out
        out += page["Records"]
        if "NextShardIterator" not in page:
            return out
        iterator = page["NextShardIterator"]


def test_every_change_appears_once_in_order(cloud: Cloud) -> None:
    tables, streams = cloud.client("dynamodb"), cloud.client("dynamodbstreams")
    name, arn = make(tables, "NEW_AND_OLD_IMAGES")
    key = {"p": {"S": "a"}}
    tables.put_item(TableName=name, Item={**key, "v": {"N": "1"}, "b": {"B": b"\x00"}})
    tables.put_item(TableName=name, Item={**key, "v": {"N": "1"}, "b": {"B": b"\x00"}})
    tables.update_item(
        TableName=name,
        Key=key,
        UpdateExpression="SET v = :v",
        ExpressionAttributeValues={":v": {"N": "2"}},
    )
    tables.transact_write_items(
        TransactItems=[
            {"Delete": {"TableName": name, "Key": key}},
            {"Put": {"TableName": name, "Item": {"p": {"S": "b"}}}},
        ]
    )
    records = read_all(streams, arn)
    assert [r["eventName"] for r in records] == ["INSERT", "MODIFY", "REMOVE", "INSERT"]
    told = records[1]["dynamodb"]
    assert told["Keys"] == key
    assert told["OldImage"]["v"] == {"N": "1"} and told["NewImage"]["v"] == {"N": "2"}
    assert told["OldImage"]["b"] == {"B": b"\x00"}
    numbers = [r["dynamodb"]["SequenceNumber"] for r in records]
    assert numbers == sorted(set(numbers))
    again = read_all(streams, arn, "AFTER_SEQUENCE_NUMBER", SequenceNumber=numbers[1])
    assert [r["eventID"] for r in again] == [r["eventID"] for r in records[2:]]
    assert read_all(streams, arn, "LATEST") == []
    listed = streams.list_streams(TableName=name)["Streams"]
    assert [s["StreamArn"] for s in listed] == [arn]
    tables.delete_table(TableName=name)
    assert [r["eventID"] for r in read_all(streams, arn)] == [r["eventID"] for r in records]
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    assert "EndingSequenceNumber" in described["Shards"][0]["SequenceNumberRange"]
    with pytest.raises(streams.exceptions.ResourceNotFoundException):
        streams.describe_stream(StreamArn=arn + "0")


@pytest.mark.parametrize(
    ("view", "members"),
    [("KEYS_ONLY", set()), ("NEW_IMAGE", {"NewImage"}), ("OLD_IMAGE", {"OldImage"})],
)
def test_views_show_what_they_say(cloud: Cloud, view: str, members: set[str]) -> None:
    tables, streams = cloud.client("dynamodb"), cloud.client("dynamodbstreams")
    name, arn = make(tables, view)
    for value in "12":
        tables.put_item(TableName=name, Item={"p": {"S": "a"}, "v": {"N": value}})
    told = read_all(streams, arn)[1]["dynamodb"]
    assert {m for m in ("NewImage", "OldImage") if m in told} == members
    assert told["StreamViewType"] == view
    tables.update_table(TableName=name, StreamSpecification={"StreamEnabled": False})
    described = streams.describe_stream(StreamArn=arn)["StreamDescription"]
    assert described["StreamStatus"] == "DISABLED"
    tables.delete_table(TableName=name)
