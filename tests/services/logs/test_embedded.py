"""Metrics that log lines carry (embedded metric format), through boto3."""

from __future__ import annotations

import json
import time
import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pileus.services.logs import embedded
from tests.conftest import Cloud


@pytest.fixture
def namespace() -> str:
    return f"Orders-{uuid.uuid4().hex[:10]}"


def line(namespace: str, at_ms: int, **members: Any) -> dict[str, Any]:
    metrics = [{"Name": "Made", "Unit": "Count"}, {"Name": "Took", "Unit": "Milliseconds"}]
    told = {"Namespace": namespace, "Dimensions": [["service"], []], "Metrics": metrics}
    return {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [told]}, **members}


def write(cloud: Cloud, at_ms: int, *messages: str) -> list[str]:
    """The lines as they are read back."""
    logs, group = cloud.client("logs"), f"/embedded/{uuid.uuid4().hex[:10]}"
    logs.create_log_group(logGroupName=group)
    logs.create_log_stream(logGroupName=group, logStreamName="s")
    events = [{"timestamp": at_ms, "message": m} for m in messages]
    logs.put_log_events(logGroupName=group, logStreamName="s", logEvents=events)
    read = logs.get_log_events(logGroupName=group, logStreamName="s", startFromHead=True)
    return [e["message"] for e in read["events"]]


def sums(cloud: Cloud, namespace: str, name: str, **dimensions: str) -> tuple[float, float]:
    """(samples, sum) of the last hour."""
    now = datetime.now(UTC)
    told = cloud.client("cloudwatch").get_metric_statistics(
        Namespace=namespace,
        MetricName=name,
        Dimensions=[{"Name": k, "Value": v} for k, v in dimensions.items()],
        StartTime=now - timedelta(hours=1),
        EndTime=now + timedelta(hours=1),
        Period=86400,
        Statistics=["SampleCount", "Sum"],
    )["Datapoints"]
    return sum(p["SampleCount"] for p in told), sum(p["Sum"] for p in told)


def test_lines_in_the_format_become_metrics(cloud: Cloud, namespace: str) -> None:
    at_ms = int(time.time() * 1000)
    lines = [
        json.dumps(line(namespace, at_ms, service="a", Made=1, Took=[10.5, 20, 20])),
        json.dumps(line(namespace, at_ms, service="a", Made=2)) + "\n",
        json.dumps(line(namespace, at_ms, service="b", Made=4)),
    ]
    write(cloud, at_ms, *lines)
    assert sums(cloud, namespace, "Made", service="a") == (2, 3)
    assert sums(cloud, namespace, "Made") == (3, 7)
    assert sums(cloud, namespace, "Took", service="a") == (3, 50.5)


def test_lines_that_only_look_like_it_stay_lines(cloud: Cloud, namespace: str) -> None:
    at_ms = int(time.time() * 1000)
    wrong: list[Any] = [
        {"_aws": None},
        {"_aws": {"Timestamp": "soon", "CloudWatchMetrics": []}},
        {"_aws": {"Timestamp": at_ms, "CloudWatchMetrics": [{"Namespace": namespace}]}},
        line(namespace, at_ms, service=7, Made="many"),
        line("AWS/Lambda", at_ms, service="a", Made=1),
        line(namespace, 1, service="a", Made=1),
    ]
    lines = [*map(json.dumps, wrong), '"_aws" {', '["_aws"]']
    lines.append(json.dumps(line(namespace, at_ms, service="a", Made=5, Took=True)))
    assert write(cloud, at_ms, *lines) == lines
    assert sums(cloud, namespace, "Made", service="a") == (1, 5)
    names = cloud.client("cloudwatch").list_metrics(Namespace=namespace)["Metrics"]
    assert {m["MetricName"] for m in names} == {"Made"}


def test_a_short_line_does_not_become_millions_of_data() -> None:
    many: dict[str, Any] = {"Dimensions": [[]] * 3000, "Metrics": [{"Name": "m"}] * 3000}
    told = {"Namespace": "n"} | many
    message = json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [told]}, "m": 1})
    assert len(message) < 256 * 1024 and embedded.metrics([message]) == []
    told |= {"Dimensions": [[]], "Metrics": [{"Name": "m"}]}
    message = json.dumps({"_aws": {"Timestamp": 1, "CloudWatchMetrics": [told]}, "m": 1})
    [(namespace, data)] = embedded.metrics([message])
    assert namespace == "n" and len(data) == 1
