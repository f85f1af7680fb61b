"""Lifecycle rules and restores as boto3 sees them, in a cloud whose days last a second (B5)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.conftest import new_cloud_up

WAIT_S = 80


@pytest.fixture(scope="module")
def s3() -> Iterator[Any]:
    with new_cloud_up("s3_day_s = 1\n") as made:
        yield made.client("s3")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + WAIT_S
    while not true():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.1)


def test_rules_are_kept_and_told_back(s3: Any) -> None:
    s3.create_bucket(Bucket="rules")
    s3.put_object(Bucket="rules", Key="old/a", Body=b"a")
    s3.put_object(Bucket="rules", Key="b", Body=b"b")
    rules = [
        {
            "ID": "old",
            "Status": "Enabled",
            "Filter": {"Prefix": "old/"},
            "Expiration": {"Days": 1},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 2},
        },
        {
            "ID": "dated",
            "Status": "Disabled",
            "Filter": {"Prefix": ""},
            "Transitions": [
                {"Date": datetime(2030, 1, 1, tzinfo=UTC), "StorageClass": "DEEP_ARCHIVE"}
            ],
        },
    ]
    told = {"Rules": rules}
    s3.put_bucket_lifecycle_configuration(Bucket="rules", LifecycleConfiguration=told)
    assert s3.get_bucket_lifecycle_configuration(Bucket="rules")["Rules"] == rules
    until(lambda: [k["Key"] for k in s3.list_objects_v2(Bucket="rules")["Contents"]] == ["b"])
    answer = s3.put_object(Bucket="rules", Key="old/a", Body=b"a")
    assert 'rule-id="old"' in answer["Expiration"]
    began = datetime.now(UTC)
    upload = s3.create_multipart_upload(Bucket="rules", Key="old/c")
    assert upload["AbortRuleId"] == "old" and upload["AbortDate"] > began
    until(lambda: "Uploads" not in s3.list_multipart_uploads(Bucket="rules"))
    s3.delete_bucket_lifecycle(Bucket="rules")
    with pytest.raises(ClientError, match="NoSuchLifecycleConfiguration"):
        s3.get_bucket_lifecycle_configuration(Bucket="rules")


def test_an_archived_object_is_restored_and_falls_back(s3: Any) -> None:
    s3.create_bucket(Bucket="cold")
    s3.put_object(Bucket="cold", Key="deep", Body=b"a", StorageClass="DEEP_ARCHIVE")
    s3.put_object(Bucket="cold", Key="a", Body=b"a", StorageClass="GLACIER")
    with pytest.raises(ClientError) as told:
        s3.get_object(Bucket="cold", Key="deep")
    assert told.value.response["Error"]["Code"] == "InvalidObjectState"
    assert told.value.response["Error"]["StorageClass"] == "DEEP_ARCHIVE"

    def restore(days: int, tier: str) -> int:
        asked = {"Days": days, "GlacierJobParameters": {"Tier": tier}}
        answer = s3.restore_object(Bucket="cold", Key="a", RestoreRequest=asked)
        return int(answer["ResponseMetadata"]["HTTPStatusCode"])

    assert restore(100, "Bulk") == 202  # in two minutes: it is asked about long before
    assert s3.head_object(Bucket="cold", Key="a")["Restore"] == 'ongoing-request="true"'
    assert restore(100, "Expedited") == 202  # in a second
    until(lambda: "expiry-date" in s3.head_object(Bucket="cold", Key="a")["Restore"])
    assert s3.get_object(Bucket="cold", Key="a")["Body"].read() == b"a"
    assert restore(1, "Expedited") == 200  # it has been there for long enough
    until(lambda: "Restore" not in s3.head_object(Bucket="cold", Key="a"))
    with pytest.raises(ClientError, match="InvalidObjectState"):
        s3.get_object(Bucket="cold", Key="a")
