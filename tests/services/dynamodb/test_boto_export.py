"""Exports and imports through the door, to and from a real bucket."""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable
from typing import Any

import boto3
import orjson
import pytest
from botocore.exceptions import ClientError

from lab.tables import keyed
from tests.conftest import Cloud

BUCKET = "exports-of-tables"


def until(read: Callable[[], dict[str, Any]], member: str, wanted: str) -> dict[str, Any]:
    """Wait for a description's state."""
    end = time.monotonic() + 120
    while time.monotonic() < end:
        told = read()
        if told[member] == wanted:
            return told
        assert told[member] in ("IN_PROGRESS", "CREATING"), told
        time.sleep(0.1)
    raise AssertionError(f"{member} is not {wanted}: {read()}")


@pytest.fixture(scope="module")
def source(cloud: Cloud) -> str:
    """A table with recovery and some items; answers its ARN."""
    db = cloud.client("dynamodb")
    cloud.client("s3").create_bucket(Bucket=BUCKET)
    made = db.create_table(
        TableName="to-export",
        **keyed(p="S"),
    )
    db.update_continuous_backups(
        TableName="to-export",
        PointInTimeRecoverySpecification={"PointInTimeRecoveryEnabled": True},
    )
    for i in range(50):
        db.put_item(TableName="to-export", Item={"p": {"S": f"k{i}"}, "n": {"N": str(i)}})
    return str(made["TableDescription"]["TableArn"])


def test_the_quick_ways_are_recorded_too(cloud: Cloud, source: str) -> None:
    """Plain puts, updates and deletes of a table with recovery can all be taken back."""
    db = cloud.client("dynamodb")
    time.sleep(0.01)
    at = time.time()
    time.sleep(0.01)
    db.put_item(TableName="to-export", Item={"p": {"S": "k0"}, "n": {"N": "100"}})
    db.put_item(TableName="to-export", Item={"p": {"S": "new"}, "n": {"N": "100"}})
    db.update_item(
        TableName="to-export",
        Key={"p": {"S": "k1"}},
        UpdateExpression="SET n = n + :one",
        ExpressionAttributeValues={":one": {"N": "1"}},
    )
    db.delete_item(TableName="to-export", Key={"p": {"S": "k2"}})
    db.restore_table_to_point_in_time(
        SourceTableName="to-export", TargetTableName="as-it-was", RestoreDateTime=at
    )
    until(lambda: db.describe_table(TableName="as-it-was")["Table"], "TableStatus", "ACTIVE")
    found = {i["p"]["S"]: i["n"]["N"] for i in db.scan(TableName="as-it-was")["Items"]}
    assert found == {f"k{i}": str(i) for i in range(50)}


def test_an_export_lies_in_the_bucket(cloud: Cloud, source: str) -> None:
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    made = db.export_table_to_point_in_time(TableArn=source, S3Bucket=BUCKET, S3Prefix="p")
    arn = made["ExportDescription"]["ExportArn"]
    told = until(
        lambda: db.describe_export(ExportArn=arn)["ExportDescription"], "ExportStatus", "COMPLETED"
    )
    summary = orjson.loads(s3.get_object(Bucket=BUCKET, Key=told["ExportManifest"])["Body"].read())
    listing = s3.get_object(Bucket=BUCKET, Key=summary["manifestFilesS3Key"])["Body"].read()
    (file,) = map(orjson.loads, listing.splitlines())
    data = s3.get_object(Bucket=BUCKET, Key=file["dataFileS3Key"])["Body"].read()
    items = [orjson.loads(x)["Item"] for x in gzip.decompress(data).splitlines()]
    expected = db.scan(TableName="to-export")["Items"]
    assert sorted(i["p"]["S"] for i in items) == sorted(i["p"]["S"] for i in expected)
    assert told["ItemCount"] == len(items)


def test_what_was_exported_can_be_imported(cloud: Cloud, source: str) -> None:
    db, logs = cloud.client("dynamodb"), cloud.client("logs")
    s3 = cloud.client("s3")
    made = db.export_table_to_point_in_time(TableArn=source, S3Bucket=BUCKET, S3Prefix="round")
    arn = made["ExportDescription"]["ExportArn"]
    read = lambda: db.describe_export(ExportArn=arn)["ExportDescription"]  # noqa: E731
    folder = until(read, "ExportStatus", "COMPLETED")["ExportManifest"].rpartition("/")[0]
    s3.put_object(Bucket=BUCKET, Key=f"{folder}/data/z", Body=gzip.compress(b"no item\n"))
    made = db.import_table(
        S3BucketSource={"S3Bucket": BUCKET, "S3KeyPrefix": f"{folder}/data/"},
        InputFormat="DYNAMODB_JSON",
        InputCompressionType="GZIP",
        TableCreationParameters={
            "TableName": "imported",
            **keyed(p="S"),
        },
    )["ImportTableDescription"]
    until(lambda: db.describe_table(TableName="imported")["Table"], "TableStatus", "ACTIVE")
    told = db.describe_import(ImportArn=made["ImportArn"])["ImportTableDescription"]
    assert (told["ErrorCount"], told["FailureCode"]) == (1, "ItemValidationError")
    both = [db.scan(TableName=name)["Items"] for name in ("to-export", "imported")]
    assert sorted(both[0], key=str) == sorted(both[1], key=str)
    end = time.monotonic() + 60  # log lines may follow the answer by a second
    found: list[str] = []
    while not found and time.monotonic() < end:
        lines = logs.filter_log_events(logGroupName="/aws-dynamodb/imports")["events"]
        found = [e["message"] for e in lines if made["ImportArn"] in e["message"]]
        time.sleep(0.1)
    assert orjson.loads(found[0])["itemS3Pointer"]["key"] == f"{folder}/data/z"


def test_the_bucket_is_used_with_the_callers_permissions(cloud: Cloud, source: str) -> None:
    """A user who may export but not write to the bucket gets an export that failed, and says why;
    one who may not export, none."""
    iam = cloud.client("iam")
    iam.create_user(UserName="exporter")
    keys = iam.create_access_key(UserName="exporter")["AccessKey"]
    db = boto3.client(
        "dynamodb",
        endpoint_url=cloud.endpoint,
        region_name="us-east-1",
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )
    with pytest.raises(ClientError, match="AccessDenied"):
        db.export_table_to_point_in_time(TableArn=source, S3Bucket=BUCKET)
    allowed = ["dynamodb:ExportTableToPointInTime", "dynamodb:DescribeExport"]
    statement = {"Effect": "Allow", "Action": allowed, "Resource": "*"}
    policy = orjson.dumps({"Version": "2012-10-17", "Statement": [statement]}).decode()
    iam.put_user_policy(UserName="exporter", PolicyName="export", PolicyDocument=policy)
    made = db.export_table_to_point_in_time(TableArn=source, S3Bucket=BUCKET, S3Prefix="denied")
    arn = made["ExportDescription"]["ExportArn"]
    read = lambda: db.describe_export(ExportArn=arn)["ExportDescription"]  # noqa: E731
    told = until(read, "ExportStatus", "FAILED")
    assert told["FailureCode"] == "S3AccessDenied"
    found = cloud.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="denied")
    assert found["KeyCount"] == 0


def test_an_export_under_a_key_of_ones_own(cloud: Cloud, source: str) -> None:
    db, s3 = cloud.client("dynamodb"), cloud.client("s3")
    key = cloud.client("kms").create_key()["KeyMetadata"]["Arn"]
    made = db.export_table_to_point_in_time(
        TableArn=source,
        S3Bucket=BUCKET,
        S3Prefix="sealed",
        S3SseAlgorithm="KMS",
        S3SseKmsKeyId=key,
    )
    arn = made["ExportDescription"]["ExportArn"]
    read = lambda: db.describe_export(ExportArn=arn)["ExportDescription"]  # noqa: E731
    told = until(read, "ExportStatus", "COMPLETED")
    head = s3.head_object(Bucket=BUCKET, Key=told["ExportManifest"])
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", key)
