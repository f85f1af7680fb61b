"""What the processes counted becomes metrics of AWS's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.services.cloudwatch.platform import Platform
from pileus.services.cloudwatch.points import Metric, Point
from pileus.telemetry import Meters, Telemetry, histogram

NOW = 1_700_000_040
PLACE = "123456789012/eu-west-1"
OWNER = {"account": "123456789012", "region": "eu-west-1"}


@dataclass
class Held:
    bucket: str = "b"
    account: str = "123456789012"
    region: str = "eu-west-1"
    objects: int = 3
    size: int = 4096


@pytest.fixture
def told(tmp_path: Path) -> Any:
    """A platform over two processes' counters; ``told(metric…)`` reads a minute's points."""
    telemetry = Telemetry.open(tmp_path)
    config = SimpleNamespace(home=tmp_path)
    parts: Any = SimpleNamespace(telemetry=telemetry, clock=None, config=config)
    made = SimpleNamespace(platform=Platform(parts, lambda home: [Held()]), fronts=[])
    for i in range(2):
        meters = Meters(f"front-{i}")
        meters.open(tmp_path)
        made.fronts.append(meters)

    def read(namespace: str, name: str, *dimensions: tuple[str, str]) -> list[Point]:
        made.platform._points.flush()
        metric = Metric(PLACE, namespace, name, dimensions)
        return made.platform._points.read(metric, NOW - 3600, NOW + 3600)

    def turn(now: int = NOW) -> None:
        for meters in made.fronts:
            meters.publish()
        made.platform.turn(now)

    made.read, made.turn = read, turn
    yield made
    for meters in made.fronts:
        meters.close()
    telemetry.close()


def test_invocations_of_all_processes_are_one_point_a_minute(told: Any) -> None:
    told.turn()
    for meters in told.fronts:
        block = meters.requests("pileus_function", function="f", **OWNER)
        for status, seconds in ((200, 0.010), (200, 0.010), (500, 0.100)):
            histogram.add(meters.cells, block, status, 5, seconds)
        meters.cells[block + histogram.THROTTLED] += 2
    told.turn()
    of = ("FunctionName", "f")
    (invocations,) = told.read("AWS/Lambda", "Invocations", of)
    assert (invocations.sum, invocations.at, invocations.unit) == (6, NOW - 60, "Count")
    (errors,) = told.read("AWS/Lambda", "Errors", of)
    assert (errors.sum, errors.count, errors.most) == (2, 6, 1)
    (duration,) = told.read("AWS/Lambda", "Duration", of)
    assert duration.sum == pytest.approx(240) and duration.count == 6
    assert duration.least == pytest.approx(10, rel=0.125)
    assert told.read("AWS/Lambda", "Throttles", of)[0].sum == 4
    assert told.read("AWS/Lambda", "Invocations")[0].sum == 6
    told.turn(NOW + 60)
    assert len(told.read("AWS/Lambda", "Invocations", of)) == 1  # nothing happened since


def test_tables_buckets_and_apis(told: Any) -> None:
    told.turn()
    meters = told.fronts[0]
    kinds = (
        {"service": "dynamodb", "operation": "GetItem", "table": "t", **OWNER},
        {"service": "s3", "operation": "GetObject", "bucket": "b", **OWNER},
        {"service": "execute-api", "operation": "", "api": "a1", **OWNER},
        {"service": "sts", "operation": "GetCallerIdentity"},
    )
    for labels in kinds:
        block = meters.requests("pileus_request", **labels)
        for status in (200, 200, 200, 404):
            histogram.add(meters.cells, block, status, 100, 0.002)
    told.turn()
    table = (("Operation", "GetItem"), ("TableName", "t"))
    assert told.read("AWS/DynamoDB", "SuccessfulRequestLatency", *table)[0].count == 4
    assert told.read("AWS/DynamoDB", "UserErrors")[0].sum == 1
    bucket = (("BucketName", "b"), ("FilterId", "EntireBucket"))
    assert told.read("AWS/S3", "GetRequests", *bucket)[0].sum == 4
    assert told.read("AWS/S3", "BytesDownloaded", *bucket)[0].sum == 400
    (errors,) = told.read("AWS/S3", "4xxErrors", *bucket)
    assert errors.sum / errors.count == 0.25
    assert told.read("AWS/ApiGateway", "Count", ("ApiId", "a1"))[0].sum == 4
    size = (("BucketName", "b"), ("StorageType", "StandardStorage"))
    assert told.read("AWS/S3", "BucketSizeBytes", *size)[0].sum == 4096


def test_a_restarted_process_counts_from_nothing(told: Any, tmp_path: Path) -> None:
    labels = {"service": "execute-api", "operation": "", "api": "a1", **OWNER}
    meters = told.fronts[0]
    block = meters.requests("pileus_request", **labels)
    histogram.add(meters.cells, block, 200, 0, 0.001)
    told.turn()
    told.platform._last["front-0"] = SimpleNamespace(
        **{n: getattr(told.platform._last["front-0"], n) for n in ("process", "cells")}, pid=1
    )
    told.turn(NOW + 60)
    counts = told.read("AWS/ApiGateway", "Count", ("ApiId", "a1"))
    assert [p.sum for p in counts] == [1, 1]  # of another pid: all it has is new


def test_capacity_used_of_a_table_and_its_index(told: Any) -> None:
    told.turn()
    for meters in told.fronts:
        for index, units in (("", 2.5), ("gsi", 1.0)):
            cell = meters.counter("pileus_table_read_units_total", table="t", index=index, **OWNER)
            meters.cells[cell] += units
    told.turn()
    (table,) = told.read("AWS/DynamoDB", "ConsumedReadCapacityUnits", ("TableName", "t"))
    assert table.sum == 5
    both = (("GlobalSecondaryIndexName", "gsi"), ("TableName", "t"))
    assert told.read("AWS/DynamoDB", "ConsumedReadCapacityUnits", *both)[0].sum == 2


def test_what_buckets_hold_is_told_by_one_node(told: Any) -> None:
    size = (("BucketName", "b"), ("StorageType", "StandardStorage"))
    told.platform.turn(NOW, leads=False)
    assert told.read("AWS/S3", "BucketSizeBytes", *size) == []
    told.platform.turn(NOW, leads=True)
    assert told.read("AWS/S3", "BucketSizeBytes", *size)[0].sum == 4096
