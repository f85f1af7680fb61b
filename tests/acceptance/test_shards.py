"""A cloud of three shards: what belongs together lies in one of them, so that a write is one entry
of one log; tablets are shown, cut and moved by command, while they serve (S3, S5, S7)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from pileus.state import entry as codec
from pileus.state import spanning
from pileus.state.database import connect_reader
from pileus.state.shard import homes
from tests.conftest import Cloud, new_cloud_up, pileus
from tests.console.asking import ask

TABLES = ("first", "second", "third")
BUCKETS = tuple(f"bucket-{n}" for n in range(6))
SMALL, LARGE = b"x" * 1000, b"y" * 50_000


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Its home is verified when its tests are over."""
    home = tmp_path_factory.mktemp("sharded") / "home"
    with new_cloud_up("shards = 3\n", home) as made:
        yield made
    verified = pileus("verify", "--home", str(home), timeout=180)
    assert verified.returncode == 0, verified.stdout + verified.stderr


def rules(home: Path) -> list[Counter[str]]:
    """How many entries of each rule every shard's log holds."""
    found = []
    for place in homes(home):
        connection = connect_reader(place / "state.db")
        groups: Any = connection.execute("SELECT entries FROM log WHERE length(entries) > 0")
        entries = [e for (packed,) in groups for e in msgspec.msgpack.decode(packed)]
        found.append(Counter(map(_name, map(codec.unpack, entries))))
        connection.close()
    return found


def _name(e: codec.Entry) -> str:
    """Its rule; of a transaction across shards, that of its author."""
    return f"across: {e.args['rule']}" if e.rule == spanning.DECIDE else e.rule


def across(logs: list[Counter[str]]) -> dict[str, int]:
    """What took more than one shard, by rule."""
    return {k: n for one in logs for k, n in one.items() if k.startswith("across: ")}


def since(home: Path, before: list[Counter[str]]) -> list[Counter[str]]:
    return [now - then for now, then in zip(rules(home), before, strict=True)]


def make(cloud: Cloud, names: tuple[str, ...]) -> Any:
    db = cloud.client("dynamodb")
    for name in names:
        db.create_table(
            TableName=name,
            KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
            AttributeDefinitions=[
                {"AttributeName": "p", "AttributeType": "S"},
                {"AttributeName": "g", "AttributeType": "S"},
            ],
            GlobalSecondaryIndexes=[
                {
                    "IndexName": "by-g",
                    "KeySchema": [{"AttributeName": "g", "KeyType": "HASH"}],
                    "Projection": {"ProjectionType": "ALL"},
                }
            ],
            BillingMode="PAY_PER_REQUEST",
            StreamSpecification={"StreamEnabled": True, "StreamViewType": "NEW_IMAGE"},
        )
        db.update_continuous_backups(
            TableName=name, PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True}
        )
    return db


def test_an_item_with_all_it_changes_is_one_entry_of_one_shard(sharded: Cloud) -> None:
    db = make(sharded, TABLES)
    before = rules(sharded.home)

    def write(n: int) -> None:
        key = {"p": {"S": str(n)}}
        db.put_item(TableName=TABLES[n % 3], Item={**key, "g": {"S": "one"}, "n": {"N": "1"}})
        db.update_item(
            TableName=TABLES[n % 3],
            Key=key,
            UpdateExpression="SET n = n + :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )
        items = [{"p": {"S": f"{n}+{i}"}} for i in "ab"]
        inner = [{"Put": {"TableName": TABLES[n % 3], "Item": item}} for item in items]
        db.transact_write_items(TransactItems=inner)

    with ThreadPoolExecutor(6) as callers:
        list(callers.map(write, range(18)))
    found = since(sharded.home, before)
    for rule in ("dynamodb.put", "dynamodb.update", "dynamodb.transact"):
        assert [logs[rule] for logs in found] == [6, 6, 6], rule
    assert across(found) == {}
    both = [{"Put": {"TableName": name, "Item": {"p": {"S": "both"}}}} for name in TABLES]
    db.transact_write_items(TransactItems=both)
    assert [logs["txn.prepare"] for logs in since(sharded.home, before)] == [1, 1, 1]
    for name in TABLES:
        assert db.scan(TableName=name, ConsistentRead=True)["Count"] == 19


def test_an_object_is_one_entry_of_its_buckets_shard(sharded: Cloud) -> None:
    s3 = sharded.client("s3")
    for name in BUCKETS:
        s3.create_bucket(Bucket=name)
    before = rules(sharded.home)
    for name in BUCKETS:
        s3.put_object(Bucket=name, Key="small", Body=SMALL)
        s3.put_object(Bucket=name, Key="large", Body=LARGE)
    upload = s3.create_multipart_upload(Bucket=BUCKETS[0], Key="parts")["UploadId"]
    of = {"Bucket": BUCKETS[0], "Key": "parts", "UploadId": upload}
    etag = s3.upload_part(**of, PartNumber=1, Body=LARGE)["ETag"]
    parts = [{"PartNumber": 1, "ETag": etag}]
    s3.complete_multipart_upload(**of, MultipartUpload={"Parts": parts})
    found = since(sharded.home, before)
    assert sum(logs["s3.put"] for logs in found) == 12
    assert sum(1 for logs in found if logs["s3.put"]) > 1
    assert across(found) == {"across: s3.data_key": 6}  # a bucket's first object makes its key
    source, target = BUCKETS[0], BUCKETS[1]
    s3.put_bucket_versioning(Bucket=target, VersioningConfiguration={"Status": "Enabled"})
    told = s3.copy_object(Bucket=target, Key="small", CopySource=f"{source}/large")
    found_there = s3.get_object(Bucket=target, Key="small", VersionId=told["VersionId"])
    assert found_there["Body"].read() == LARGE
    s3.delete_object(Bucket=source, Key="large")
    assert s3.get_object(Bucket=target, Key="small")["Body"].read() == LARGE
    told = json.loads(pileus("buckets", "--home", str(sharded.home), "--json").stdout)
    held = {each["bucket"]: each["held"]["STANDARD"]["objects"] for each in told}
    assert held == {**dict.fromkeys(BUCKETS, 2), target: 3}


def test_a_table_moves_by_command_while_it_serves(sharded: Cloud) -> None:
    db = make(sharded, ("moving",))
    home = ("--home", str(sharded.home))
    db.put_item(TableName="moving", Item={"p": {"S": "0"}, "n": {"N": "0"}})

    def count(n: int) -> None:
        db.update_item(
            TableName="moving",
            Key={"p": {"S": str(n % 5)}},
            UpdateExpression="ADD n :one",
            ExpressionAttributeValues={":one": {"N": "1"}},
        )

    with ThreadPoolExecutor(4) as callers:
        writes = [callers.submit(count, n) for n in range(60)]
        for shard in ("1", "2"):
            moved = pileus("tablets", "move", "dynamodb:moving", "--to", shard, *home, timeout=180)
            assert moved.returncode == 0, moved.stdout + moved.stderr
            assert f"lies in shard {shard}" in moved.stdout
        for write in writes:
            write.result()
    items = db.scan(TableName="moving", ConsistentRead=True)["Items"]
    assert sum(int(item["n"]["N"]) for item in items) == 60
    told = json.loads(pileus("tablets", "--json", *home).stdout)
    mine = [t for t in told["tablets"] if t["holds"] == "DynamoDB tables moving"]
    assert [t["shard"] for t in mine] == [2] and mine[0]["rows"] > 5
    assert sum(s["tablets"] for s in told["shards"]) == len(told["tablets"])
    shown = pileus("tablets", *home).stdout
    assert "DynamoDB tables moving" in shown and "map of version" in shown
    before = rules(sharded.home)
    db.put_item(TableName="moving", Item={"p": {"S": "after"}})
    found = since(sharded.home, before)  # the former shards are asked whether they know it already
    assert found[2]["dynamodb.put"] == 1 and across(found) == {}
    arn = db.describe_table(TableName="moving")["Table"]["LatestStreamArn"]
    streams = sharded.client("dynamodbstreams")
    shard_id = streams.describe_stream(StreamArn=arn)["StreamDescription"]["Shards"][0]["ShardId"]
    place = streams.get_shard_iterator(
        StreamArn=arn, ShardId=shard_id, ShardIteratorType="TRIM_HORIZON"
    )["ShardIterator"]
    assert len(streams.get_records(ShardIterator=place)["Records"]) == 62


def test_what_cannot_be_cut_or_moved_is_told_in_words(sharded: Cloud) -> None:
    def post(verb: str, **body: Any) -> tuple[int, Any]:
        return ask(sharded, "POST", f"/_pileus/tablets/{verb}", body=json.dumps(body))

    assert post("move", what="dynamodb:nosuch", shard=1)[0] == 404
    assert post("move", what="0", shard=7)[1]["message"] == "shards are 0 to 2"
    assert post("move", what="0", shard=1)[1]["__type"] == "InvalidMove"  # all shards' own rows
    assert post("split", what="")[0] == 400
    assert post("split", what="kv:mine/1")[0] == 200
    iam = sharded.client("iam")
    iam.create_user(UserName="reader")
    key = iam.create_access_key(UserName="reader")["AccessKey"]
    keys = (key["AccessKeyId"], key["SecretAccessKey"])
    for method, path in (("GET", ""), ("POST", "/split"), ("POST", "/move")):
        assert ask(sharded, method, f"/_pileus/tablets{path}", keys, "{}")[0] == 403
