"""CloudWatch Logs through boto3."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest
from botocore.exceptions import ClientError


def test_groups_streams_events(cloud: Any) -> None:
    logs = cloud.client("logs")
    group = f"/test/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group, tags={"a": "1"})
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    now = int(time.time() * 1000)
    lines = [{"timestamp": now + i, "message": f'{{"n": {i}}}'} for i in range(5)]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=lines)
    deadline = time.monotonic() + 60
    while True:  # another process may have taken the lines: they are readable a little later
        found = logs.filter_log_events(logGroupName=group, filterPattern="{ $.n > 2 }")
        if found["events"] or time.monotonic() > deadline:
            break
        time.sleep(0.1)
    assert [event["message"] for event in found["events"]] == ['{"n": 3}', '{"n": 4}']
    got = logs.get_log_events(logGroupName=group, logStreamName="s", limit=2)
    assert [event["timestamp"] for event in got["events"]] == [now + 3, now + 4]
    pages = logs.get_paginator("filter_log_events").paginate(
        logGroupName=group, PaginationConfig={"PageSize": 2}
    )
    assert sum(len(page["events"]) for page in pages) == 5
    logs.put_retention_policy(logGroupName=group, retentionInDays=7)
    (told,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert told["retentionInDays"] == 7 and told["storedBytes"] > 0
    assert logs.list_tags_for_resource(resourceArn=told["logGroupArn"])["tags"] == {"a": "1"}
    logs.delete_log_group(logGroupName=group)
    with pytest.raises(logs.exceptions.ResourceNotFoundException):
        logs.get_log_events(logGroupName=group, logStreamName="s")


def test_what_is_not_built_says_so(cloud: Any) -> None:
    with pytest.raises(ClientError) as caught:
        cloud.client("logs").start_query(
            logGroupName="g", startTime=0, endTime=1, queryString="fields @message"
        )
    assert "StartQuery" in caught.value.response["Error"]["Message"]


def test_answers_as_recorded_of_aws(cloud: Any) -> None:
    logs, group = cloud.client("logs"), f"recorded/{uuid.uuid4().hex}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    (stream,) = logs.describe_log_streams(logGroupName=group)["logStreams"]
    assert "uploadSequenceToken" not in stream  # nobody wrote to it yet
    (told,) = logs.describe_log_groups(logGroupNamePattern=group)["logGroups"]
    assert not {"storedBytes", "deletionProtectionEnabled"} & set(told)
    (told,) = logs.describe_log_groups(logGroupNamePrefix=group)["logGroups"]
    assert (told["storedBytes"], told["deletionProtectionEnabled"]) == (0, False)
    with pytest.raises(ClientError, match="must have value less than or equal to 10000"):
        logs.filter_log_events(logGroupName=group, limit=10_001)
    with pytest.raises(ClientError, match="both must have length less than or equal to 512"):
        logs.create_log_group(logGroupName="a" * 513)
    with pytest.raises(ClientError, match="are mutually exclusive") as caught:
        logs.describe_log_streams(logGroupName=group, logGroupIdentifier=group)
    assert caught.value.response["Error"]["Code"] == "ValidationException"
