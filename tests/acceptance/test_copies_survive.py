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

from lab.tables import keyed
from tests.conftest import Cloud, new_cloud, pileus
from tests.soak.kill import kill_all

ITEMS = 3000
FILLER = "x" * 4000
BUCKET = "survivors"
Items = dict[str, str]


def wait(done: Callable[[], Any], seconds: float = 240) -> Any:
    """Until ``done()`` is true; answers it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = done()
        if found:
            return found
        time.sleep(0.01)
    raise AssertionError("it did not come to pass")


def cut(cloud: Cloud, begin: Callable[[int], Callable[[], bool | None]]) -> int:
    """kill -9 while something is under way, and start again. ``begin(number)`` begins a job and
    answers how to look at it: at work, not yet, or None: over. Jobs are begun until one is seen
    at work; answers its number."""
    for number in range(20):
        look = begin(number)
        while (at_work := look()) is False:
            time.sleep(0.001)
        if at_work:
            kill_all(cloud)
            cloud.up()
            return number
    raise AssertionError("every job was over before it could be cut off")


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
        **keyed(p="S"),
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


def loading(db: Any, table: str) -> Callable[[], bool | None]:
    """Has a restore or an import put items, and not ended?"""

    def look() -> bool | None:
        told = db.describe_table(TableName=table)["Table"]
        return bool(told["ItemCount"]) if told["TableStatus"] == "CREATING" else None

    return look


def test_a_backup_and_a_restore(cloud: Cloud) -> None:
    db = cloud.client("dynamodb")
    before = items(cloud, "source")
    arns: list[str] = []

    def described(db: Any) -> tuple[str, int]:
        told = db.describe_backup(BackupArn=arns[-1])["BackupDescription"]
        return told["BackupDetails"]["BackupStatus"], told["SourceTableDetails"]["ItemCount"]

    def back_up(number: int) -> Callable[[], bool | None]:
        made = db.create_backup(TableName="source", BackupName=f"one-{number}")
        arns.append(made["BackupDetails"]["BackupArn"])

        def look() -> bool | None:
            state, count = described(db)
            return count > 0 if state == "CREATING" else None

        return look

    cut(cloud, back_up)
    db = cloud.client("dynamodb")
    change(cloud, "meanwhile")
    assert wait(lambda: described(db)[0] == "AVAILABLE")
    assert described(db) == ("AVAILABLE", ITEMS)

    def restore(number: int) -> Callable[[], bool | None]:
        db.restore_table_from_backup(TargetTableName=f"back-{number}", BackupArn=arns[-1])
        return loading(db, f"back-{number}")

    table = f"back-{cut(cloud, restore)}"
    wait(active(cloud, table))
    assert items(cloud, table) == before


def test_a_moment_in_the_past(cloud: Cloud) -> None:
    change(cloud, "second")
    before, at = items(cloud, "source"), time.time()
    time.sleep(0.02)
    change(cloud, "third")
    db = cloud.client("dynamodb")

    def restore(number: int) -> Callable[[], bool | None]:
        db.restore_table_to_point_in_time(
            SourceTableName="source", TargetTableName=f"past-{number}", RestoreDateTime=at
        )
        return loading(db, f"past-{number}")

    table = f"past-{cut(cloud, restore)}"
    change(cloud, "fourth")
    wait(active(cloud, table))
    assert items(cloud, table) == before


def test_an_export_and_an_import(cloud: Cloud) -> None:
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    before = items(cloud, "source")
    source = db.describe_table(TableName="source")["Table"]["TableArn"]
    arns: list[str] = []

    def export(number: int) -> Callable[[], bool | None]:
        made = db.export_table_to_point_in_time(
            TableArn=source, S3Bucket=BUCKET, S3Prefix=f"export-{number}"
        )
        arns.append(made["ExportDescription"]["ExportArn"])

        def look() -> bool | None:
            told = db.describe_export(ExportArn=arns[-1])["ExportDescription"]
            begun = s3.list_objects_v2(Bucket=BUCKET, Prefix=f"export-{number}/")["KeyCount"]
            return bool(begun) if told["ExportStatus"] == "IN_PROGRESS" else None

        return look

    cut(cloud, export)
    change(cloud, "fifth")
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    read = lambda: db.describe_export(ExportArn=arns[-1])["ExportDescription"]  # noqa: E731
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

    def bring(number: int) -> Callable[[], bool | None]:
        db.import_table(
            S3BucketSource={"S3Bucket": BUCKET, "S3KeyPrefix": folder},
            InputFormat="DYNAMODB_JSON",
            InputCompressionType="GZIP",
            TableCreationParameters={
                "TableName": f"brought-{number}",
                **keyed(p="S"),
            },
        )
        return loading(db, f"brought-{number}")

    table = f"brought-{cut(cloud, bring)}"
    wait(active(cloud, table))
    assert items(cloud, table) == before


def test_the_state_is_what_the_log_says(cloud: Cloud) -> None:
    done = pileus("verify", "--home", str(cloud.home))
    assert done.returncode == 0, done.stdout + done.stderr
