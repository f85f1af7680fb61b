"""Nodes drain, leave, join and are replaced under load; the work done once for all moves with them
(C3, C5, F6)."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from lab.rig import NodeFailed, RigNode, until
from tests.acceptance import functions
from tests.acceptance.nodes import TABLE, At, Cloud, Load, all_alive

NOTING = f"""
import boto3
def handler(event, context):
    told = event.get("Records", [])
    for name in [r["s3"]["object"]["key"] for r in told] or [event["k"]]:
        item = {{"k": {{"S": name}}, "v": {{"S": "noted"}}}}
        boto3.client("dynamodb").put_item(TableName="{TABLE}", Item=item)
"""


@pytest.mark.timeout(240)
def test_nodes_come_and_go_and_the_work_goes_on(parting_nodes: Cloud) -> None:
    cloud = parting_nodes
    first, second, third, fourth = cloud.rig.nodes
    token = first.run("token").split()[-1]
    _make_events(At(cloud, first))
    load = Load(cloud, [first, second])
    try:
        _drained(cloud, first, second)
        assert "has left" in third.run("leave")
        with pytest.raises(NodeFailed, match="has left its cluster"):
            third.up()
        fourth.join(token, second)
        until(lambda: all_alive(second, ("n1", "n2", "n4")), 20, "the fourth instead of the third")
        load.stop()
        assert load.failures == [] and len(load.acknowledged) > 50
    finally:
        load.stop()
    _one_dies(cloud, [first, second, fourth])
    for node in (first, second, fourth):
        assert set(load.acknowledged) <= set(cloud.items(node)), node.name


def _make_events(at: At) -> None:
    """A function that notes, asked by a bucket."""
    allowed = {"Effect": "Allow", "Action": "dynamodb:PutItem", "Resource": "*"}
    functions.make_function(at, functions.make_role(at, allowed), NOTING, "noting")  # type: ignore[arg-type]
    lambda_, s3 = at.client("lambda"), at.client("s3")
    lambda_.add_permission(
        FunctionName="noting",
        StatementId="s3",
        Action="lambda:InvokeFunction",
        Principal="s3.amazonaws.com",
    )
    arn = lambda_.get_function(FunctionName="noting")["Configuration"]["FunctionArn"]
    s3.create_bucket(Bucket="noted")
    told = [{"LambdaFunctionArn": arn, "Events": ["s3:ObjectCreated:*"]}]
    s3.put_bucket_notification_configuration(
        Bucket="noted", NotificationConfiguration={"LambdaFunctionConfigurations": told}
    )


def _cause(cloud: Cloud, node: RigNode, word: str) -> set[str]:
    """An event of each kind, through ``node``; what it will note."""
    cloud.client("s3", node).put_object(Bucket="noted", Key=f"s3-{word}", Body=b"x")
    event = json.dumps({"k": f"async-{word}"})
    lambda_ = cloud.client("lambda", node)
    lambda_.invoke(FunctionName="noting", InvocationType="Event", Payload=event)
    return {f"s3-{word}", f"async-{word}"}


def _holder(node: RigNode) -> str:
    return next((n for n, told in node.nodes().items() if "background" in told["roles"]), "")


def _drained(cloud: Cloud, first: RigNode, second: RigNode) -> None:
    """A drained node hands over the work for all, and gets it back only when it is asked to."""
    holder = _holder(second)
    first.run("drain", holder)
    until(lambda: _holder(second) not in ("", holder), 10, "another does the work for all")
    noted = _cause(cloud, first, "drained")
    until(lambda: noted <= set(cloud.items(second)), 15, "events while one is drained")
    first.run("drain", holder, "--undo")


def _one_dies(cloud: Cloud, nodes: list[RigNode]) -> None:
    """Who does the work for all dies: what was asked before and after is done."""
    holder = _holder(nodes[0])
    dead = next(n for n in nodes if n.name == holder)
    living = [n for n in nodes if n is not dead]
    noted = _cause(cloud, living[0], "before")
    dead.kill()
    began = time.monotonic()
    noted |= _cause(cloud, living[1], "after")
    until(lambda: noted <= _noted(cloud, living[0]), 30, "events after the holder died")
    print(f"events flow {time.monotonic() - began:.1f} s after the node died")
    assert _holder(living[0]) in {n.name for n in living}
    dead.up()
    until(lambda: all_alive(dead, [n.name for n in nodes]), 20, "it is back")


def _noted(cloud: Cloud, node: RigNode) -> set[str]:
    found: dict[str, Any] = cloud.items(node)
    return set(found)
