"""kill -9 of every process in the middle of a backup, a restore, an export and an import: after the
restart each ends, whole, and shows the table as it was when it was asked for (T6, S6)."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.conftest import Cloud, new_cloud, pileus
from tests.soak.kill import kill_all

ITEMS = 3000
FILLER = "x" * 4000
BUCKET = "survivors"
Items = dict[str, str]


def wait(done: Callable[[], Any], seconds: float = 60) -> Any:
    """Until ``done()`` is true; answers it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to pass")


def kill_when(cloud: Cloud, busy: Callable[[], Any]) -> None:
    """kill -9 while something is under way, and start again."""
    wait(busy)
    kill_all(cloud)
    cloud.up()


def items(cloud: Cloud, table: str) -> Items:
    pages = cloud.client("dynamodb").get_paginator("scan").paginate(TableName=table)
    return {i["p"]["S"]: i["v"]["S"] for page in pages for i in page["Items"]}


def change(cloud: Cloud, word: str) -> None:
    """Change, delete and add some items."""
    db = cloud.client("dynamodb")
    for i in range(0, ITEMS, 100):
        db.put_item(TableName="source", Item={"p": {"S": f"k{i}"}, "v": {"S": word}})
        db.delete_item(TableName="source", Key={"p": {"S": f"k{i + 1}"}})
        db.put_item(TableName="source", Item={"p": {"S": f"{word}{i}"}, "v": {"S": word}})


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    home: Path = tmp_path_factory.mktemp("survivors") / "home"
    made = new_cloud(home).up()
    db = made.client("dynamodb")
    made.client("s3").create_bucket(Bucket=BUCKET)
    db.create_table(
        TableName="source",
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for at in range(0, ITEMS, 25):
        rows = [{"p": {"S": f"k{i}"}, "v": {"S": f"{i}{FILLER}"}} for i in range(at, at + 25)]
        db.batch_write_item(RequestItems={"source": [{"PutRequest": {"Item": r}} for r in rows]})
    db.update_continuous_backups(
        TableName="source",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    try:
        yield made
    finally:
        made.down()


def active(cloud: Cloud, table: str) -> Callable[[], bool]:
    db = cloud.client("dynamodb")
    return lambda: db.describe_table(TableName=table)["Table"]["TableStatus"] == "ACTIVE"


def loading(cloud: Cloud, table: str) -> Callable[[], bool]:
    """Has a restore or an import begun, and not ended?"""
    db = cloud.client("dynamodb")

    def busy() -> bool:
        told = db.describe_table(TableName=table)["Table"]
        assert told["TableStatus"] == "CREATING", "it was over before it could be cut off"
        return bool(told["ItemCount"])

    return busy


def test_a_backup_and_a_restore(cloud: Cloud) -> None:
    db = cloud.client("dynamodb")
    before = items(cloud, "source")
    made = db.create_backup(TableName="source", BackupName="one")["BackupDetails"]
    arn = made["BackupArn"]

    def described() -> tuple[str, int]:
        told = cloud.client("dynamodb").describe_backup(BackupArn=arn)["BackupDescription"]
        return told["BackupDetails"]["BackupStatus"], told["SourceTableDetails"]["ItemCount"]

    def busy() -> bool:
        state, count = described()
        assert state == "CREATING", "it was over before it could be cut off"
        return count > 0

    kill_when(cloud, busy)
    change(cloud, "meanwhile")
    assert wait(lambda: described()[0] == "AVAILABLE")
    assert described() == ("AVAILABLE", ITEMS)
    db = cloud.client("dynamodb")
    db.restore_table_from_backup(TargetTableName="back", BackupArn=arn)
    kill_when(cloud, loading(cloud, "back"))
    wait(active(cloud, "back"))
    assert items(cloud, "back") == before


def test_a_moment_in_the_past(cloud: Cloud) -> None:
    change(cloud, "second")
    before, at = items(cloud, "source"), time.time()
    time.sleep(0.02)
    change(cloud, "third")
    cloud.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName="source", TargetTableName="past", RestoreDateTime=at
    )
    kill_when(cloud, loading(cloud, "past"))
    change(cloud, "fourth")
    wait(active(cloud, "past"))
    assert items(cloud, "past") == before


def test_an_export_and_an_import(cloud: Cloud) -> None:
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    before = items(cloud, "source")
    source = db.describe_table(TableName="source")["Table"]["TableArn"]
    made = db.export_table_to_point_in_time(TableArn=source, S3Bucket=BUCKET)
    arn = made["ExportDescription"]["ExportArn"]
    kill_when(cloud, lambda: s3.list_objects_v2(Bucket=BUCKET)["KeyCount"])
    change(cloud, "fifth")
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    read = lambda: db.describe_export(ExportArn=arn)["ExportDescription"]  # noqa: E731
    wait(lambda: read()["ExportStatus"] != "IN_PROGRESS")
    told = read()
    assert (told["ExportStatus"], told["ItemCount"]) == ("COMPLETED", len(before))
    folder = told["ExportManifest"].rpartition("/")[0] + "/data/"
    found: Items = {}
    for one in s3.list_objects_v2(Bucket=BUCKET, Prefix=folder)["Contents"]:
        data = gzip.decompress(s3.get_object(Bucket=BUCKET, Key=one["Key"])["Body"].read())
        lines = [orjson.loads(line)["Item"] for line in data.splitlines()]
        found |= {i["p"]["S"]: i["v"]["S"] for i in lines}
    assert found == before
    db.import_table(
        S3BucketSource={"S3Bucket": BUCKET, "S3KeyPrefix": folder},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": "brought",
            "AttributeDefinitions": [{"AttributeName": "p", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "p", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    )
    kill_when(cloud, loading(cloud, "brought"))
    wait(active(cloud, "brought"))
    assert items(cloud, "brought") == before


def test_the_state_is_what_the_log_says(cloud: Cloud) -> None:
    done = pileus("verify", "--home", str(cloud.home))
    assert done.returncode == 0, done.stdout + done.stderr
