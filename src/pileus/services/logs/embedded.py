"""Metrics that log lines carry: the embedded metric format.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
A line that is a JSON object with a member ``_aws`` names which of its other members are metrics, in
which namespace, under which dimensions. Whoever may write the line needs no permission of
CloudWatch. What does not keep to the format makes no metrics, and the line stays a line.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from pileus.errors import AwsError, Unavailable
from pileus.services.call import Call, Dispatch, Principal

MARK = '"_aws"'
DATA_MAX = 1000  # of one PutMetricData, and of one line: each metric under each set of dimensions
Datum = dict[str, Any]

log = logging.getLogger(__name__)


def metrics(messages: Iterable[str]) -> list[tuple[str, list[Datum]]]:
    """(namespace, data as PutMetricData takes them) of the lines that carry some."""
    found: list[tuple[str, list[Datum]]] = []
    for message in messages:
        if MARK in message:
            try:
                found += _of(orjson.loads(message))
            except (ValueError, TypeError, KeyError, AttributeError):
                continue
    return found


def _of(line: dict[str, Any]) -> list[tuple[str, list[Datum]]]:
    about = line["_aws"]
    at_s = float(about["Timestamp"]) / 1000
    directives = about["CloudWatchMetrics"]
    if sum(len(_sets(each)) * len(each["Metrics"]) for each in directives) > DATA_MAX:
        raise ValueError("a short line may not ask for millions of data")
    return [
        (str(directive["Namespace"]), list(_data(line, directive, at_s)))
        for directive in directives
    ]


def _sets(directive: dict[str, Any]) -> list[list[str]]:
    """The sets of dimensions each metric is told under: the empty one where none is named."""
    return directive.get("Dimensions") or [[]]


def _data(line: dict[str, Any], directive: dict[str, Any], at_s: float) -> Iterator[Datum]:
    for names in _sets(directive):
        if not all(isinstance(line.get(n), str) for n in names):
            continue
        dimensions = [{"Name": n, "Value": line[n]} for n in names]
        for metric in directive["Metrics"]:
            value: Any = line.get(metric["Name"])
            values: list[Any] = value if isinstance(value, list) else [value]
            if not values or not all(type(v) in (int, float) for v in values):
                continue
            yield {
                "MetricName": metric["Name"],
                "Dimensions": dimensions,
                "Timestamp": at_s,
                "Values": [float(v) for v in values],
                "Unit": metric.get("Unit", "None"),
                "StorageResolution": metric.get("StorageResolution", 60),
            }


async def put(dispatch: Dispatch, call: Call, found: list[tuple[str, list[Datum]]]) -> None:
    """Hand metrics on, in the account's name. What CloudWatch refuses is left out: the lines are
    kept already."""
    account = Principal.owner(call.account)
    for namespace, data in found:
        for at in range(0, len(data), DATA_MAX):
            params = {"Namespace": namespace, "MetricData": data[at : at + DATA_MAX]}
            try:
                await dispatch(
                    "cloudwatch", "PutMetricData", params, principal=account, region=call.region
                )
            except (AwsError, Unavailable) as error:
                log.info("metrics of a log line in %s were refused: %s", namespace, error)
