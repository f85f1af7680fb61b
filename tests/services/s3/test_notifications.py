"""A bucket tells functions what happened to its objects (B6)."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conftest import Cloud
from tests.services.listening import heard_until_now, make_listener
from tests.services.s3.test_objects import refused


@pytest.fixture(scope="module")
def s3(cloud: Cloud) -> Any:
    return cloud.client("s3")


@pytest.fixture(scope="module")
def function(cloud: Cloud) -> str:
    """The ARN of one that writes down what it hears."""
    return make_listener(cloud)


@pytest.fixture
def bucket(s3: Any) -> Iterator[str]:
    name = f"n-{uuid.uuid4().hex[:12]}"
    s3.create_bucket(Bucket=name)
    yield name


def rule(arn: str, events: list[str], **affixes: str) -> dict[str, Any]:
    filters = [{"Name": n, "Value": v} for n, v in affixes.items()]
    return {
        "LambdaFunctionArn": arn,
        "Events": events,
        "Filter": {"Key": {"FilterRules": filters}},
    }


def told(cloud: Cloud, arn: str, bucket: str) -> list[dict[str, Any]]:
    """The events of ``bucket`` the function heard, in the order they happened."""
    records = [event["Records"][0] for event in heard_until_now(cloud, arn)]
    mine = {  # at least once: the same event may come twice
        r["s3"]["object"]["sequencer"]: r for r in records if r["s3"]["bucket"]["name"] == bucket
    }
    return [mine[key] for key in sorted(mine)]


def test_functions_are_told(cloud: Cloud, s3: Any, bucket: str, function: str) -> None:
    configuration = {
        "LambdaFunctionConfigurations": [
            rule(function, ["s3:ObjectCreated:*", "s3:ObjectRemoved:*"], prefix="in/", suffix=".x"),
            rule(function, ["s3:ObjectTagging:Put"]),
        ]
    }
    put = {"Bucket": bucket, "NotificationConfiguration": configuration}
    error = refused(s3.put_bucket_notification_configuration, **put)
    assert (error["Code"], error["Status"]) == ("InvalidArgument", 400)
    assert "Unable to validate the following destination" in error["Message"]
    cloud.client("lambda").add_permission(
        FunctionName=function, StatementId=bucket, Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com", SourceArn=f"arn:aws:s3:::{bucket}",
    )  # fmt: skip
    s3.put_bucket_notification_configuration(**put)
    kept = s3.get_bucket_notification_configuration(Bucket=bucket)
    ids = [r["Id"] for r in kept["LambdaFunctionConfigurations"]]
    assert len(set(ids)) == 2
    key = {"Bucket": bucket, "Key": "in/ä +1.x"}
    s3.put_object(**key, Body=b"hello")
    s3.put_object(Bucket=bucket, Key="in/other", Body=b"")
    s3.put_object(Bucket=bucket, Key="out/1.x", Body=b"")
    s3.put_object_tagging(**key, Tagging={"TagSet": [{"Key": "a", "Value": "b"}]})
    s3.copy_object(Bucket=bucket, Key="in/copy.x", CopySource=key)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    s3.delete_object(**key)
    s3.delete_object(**key, VersionId="null")
    deadline = time.monotonic() + 90
    while len(told(cloud, function, bucket)) < 5 and time.monotonic() < deadline:
        time.sleep(0.2)
    events = told(cloud, function, bucket)
    assert [e["eventName"] for e in events] == [
        "ObjectCreated:Put",
        "ObjectTagging:Put",
        "ObjectCreated:Copy",
        "ObjectRemoved:DeleteMarkerCreated",
        "ObjectRemoved:Delete",
    ]
    first = events[0]
    assert first["s3"]["object"] == {
        "key": "in/%C3%A4+%2B1.x",
        "size": 5,
        "eTag": "5d41402abc4b2a76b9719d911017c592",
        "sequencer": first["s3"]["object"]["sequencer"],
    }
    assert first["s3"]["configurationId"] == ids[0] and first["eventSource"] == "aws:s3"
    assert events[3]["s3"]["object"]["versionId"]
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    told_now = s3.get_bucket_notification_configuration(Bucket=bucket)
    assert "LambdaFunctionConfigurations" not in told_now


@pytest.mark.parametrize(
    ("configuration", "code"),
    [
        ({"LambdaFunctionConfigurations": [rule("arn", ["s3:Nonsense"])]}, "InvalidArgument"),
        ({"LambdaFunctionConfigurations": [rule("arn", [])]}, "MalformedXML"),
        (
            {"LambdaFunctionConfigurations": [rule("arn", ["s3:ObjectCreated:*"], middle="x")]},
            "InvalidArgument",
        ),
        (
            {
                "LambdaFunctionConfigurations": [
                    rule("arn", ["s3:ObjectCreated:*"], prefix="a"),
                    rule("arn", ["s3:ObjectCreated:Put"], prefix="ab"),
                ]
            },
            "InvalidArgument",
        ),
        ({"EventBridgeConfiguration": {}}, "NotImplemented"),
        (
            {
                "QueueConfigurations": [
                    {"QueueArn": "arn:aws:sqs:::q", "Events": ["s3:ObjectCreated:*"]}
                ]
            },
            "NotImplemented",
        ),
        (
            {"TopicConfigurations": [{"TopicArn": "arn:aws:sns:::t", "Events": ["s3:*"]}]},
            "NotImplemented",
        ),
    ],
)
def test_what_cannot_be_told(s3: Any, bucket: str, configuration: Any, code: str) -> None:
    put = {"Bucket": bucket, "NotificationConfiguration": configuration}
    assert refused(s3.put_bucket_notification_configuration, **put)["Code"] == code
