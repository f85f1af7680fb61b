"""One machine has become three in place: any node answers; one dies under load and nothing is lost
(S5, S6, C1, C5).

Nodes have addresses of their own (network namespaces, or loopback addresses without root) and are
driven by the command and by boto3, as a user would.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

import boto3
from botocore.exceptions import ClientError

from lab.rig import RigNode, until
from tests.acceptance.functions import make_function, make_role
from tests.acceptance.grown import BUCKET, EARLY, EARLY_OBJECT
from tests.acceptance.nodes import At, Cloud, Load, put, seen_from, whole

SAYS_WHERE = "def handler(event, context):\n    return context.log_stream_name\n"
LOAD_S_BEFORE, LOAD_S_AFTER = 2.0, 10.0  # at least


def test_any_node_answers(three_nodes: Cloud) -> None:
    cloud = three_nodes
    nodes = cloud.rig.nodes[:3]
    for at, node in enumerate(nodes):
        put(cloud.client("dynamodb", node), f"at{at}", "x")
        cloud.client("s3", node).put_object(Bucket=BUCKET, Key=f"at{at}", Body=b"b" * 400_000)
        cloud.cells(node).request_cell("PUT", f"at{at}", b"cell")
        cloud.client("iam", node).create_user(UserName=f"user{at}")
    for node in nodes:
        assert {"at0", "at1", "at2", *EARLY} <= set(cloud.items(node))
        s3 = cloud.client("s3", node)
        assert s3.get_object(Bucket=BUCKET, Key="early")["Body"].read() == EARLY_OBJECT
        for at in range(3):
            body = s3.get_object(Bucket=BUCKET, Key=f"at{at}")["Body"].read()
            assert body == b"b" * 400_000
            assert cloud.cells(node).request_cell("GET", f"at{at}")["Body"] == b"cell"
        assert cloud.cells(node).request_cell("GET", "early")["Body"] == b"one machine"
        users = cloud.client("iam", node).list_users()["Users"]
        assert {"user0", "user1", "user2"} <= {u["UserName"] for u in users}


def test_a_session_begun_at_one_node_holds_at_every(three_nodes: Cloud) -> None:
    """Sessions are no node's: the state has what tells them."""
    cloud = three_nodes
    nodes = cloud.rig.nodes[:3]
    iam = cloud.client("iam", nodes[0])
    user = iam.create_user(UserName="traveller")["User"]["Arn"]
    may = {"Effect": "Allow", "Action": "sts:AssumeRole"}
    trust = json.dumps({"Version": "2012-10-17", "Statement": [may | {"Principal": {"AWS": user}}]})
    role = iam.create_role(RoleName="everywhere", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    key = iam.create_access_key(UserName="traveller")["AccessKey"]
    for begun in nodes:
        until(lambda n=begun: _has_role(cloud, n), 20, "the role is known")  # type: ignore[misc]
        mine = _sts(cloud, begun, key)
        told = mine.assume_role(RoleArn=role, RoleSessionName=begun.name)["Credentials"]
        for node in nodes:
            arn = _sts(cloud, node, told).get_caller_identity()["Arn"]
            assert arn.endswith(f"/everywhere/{begun.name}")


def _sts(cloud: Cloud, node: RigNode, key: Mapping[str, Any]) -> Any:
    return boto3.client(
        "sts",
        endpoint_url=node.endpoint,
        region_name=cloud.keys["AWS_REGION"],
        aws_access_key_id=key["AccessKeyId"],
        aws_secret_access_key=key["SecretAccessKey"],
        aws_session_token=key.get("SessionToken"),
    )


def _has_role(cloud: Cloud, node: RigNode) -> bool:
    roles = cloud.client("iam", node).list_roles()["Roles"]
    return "everywhere" in {role["RoleName"] for role in roles}


def test_functions_run_where_there_is_room(three_nodes: Cloud) -> None:
    """One at a time, whichever node is asked: the node that has the room for it runs it, so the
    same worker. A drained node has the others run what it is asked for."""
    cloud = three_nodes
    nodes = cloud.rig.nodes[:3]
    first = At(cloud, nodes[0])
    name = make_function(first, make_role(first), SAYS_WHERE)
    for node in nodes:
        until(lambda n=node: _ran(cloud, n, name) is not None, 60, "it runs")  # type: ignore[misc]
    client = first.client("lambda")
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=1)
    until(lambda: len({_ran(cloud, n, name) for n in nodes}) == 1, 60, "one runs it for all")
    assert {_streamed(cloud, n, name) for n in nodes} == {_ran(cloud, nodes[0], name)}

    client.delete_function_concurrency(FunctionName=name)
    until(lambda: len({_ran(cloud, n, name) for n in nodes}) == 3, 60, "each runs its own")
    here = _ran(cloud, nodes[2], name)
    nodes[2].run("drain")
    until(lambda: _ran(cloud, nodes[2], name) != here, 60, "others run it for the drained")
    assert here not in {_ran(cloud, nodes[2], name) for _ in range(5)}
    nodes[2].run("drain", "--undo")
    until(lambda: _ran(cloud, nodes[2], name) == here, 60, "it runs its own again")


def _ran(cloud: Cloud, node: RigNode, name: str) -> str | None:
    """The worker that ran it for ``node``: the stream of its lines."""
    try:
        told = cloud.client("lambda", node).invoke(FunctionName=name)
    except ClientError:  # the node does not know it yet
        return None
    return None if "FunctionError" in told else str(json.load(told["Payload"]))


def _streamed(cloud: Cloud, node: RigNode, name: str) -> str:
    """The same of one whose answer is streamed."""
    told = cloud.client("lambda", node).invoke_with_response_stream(FunctionName=name)
    events = list(told["EventStream"])
    assert "ErrorCode" not in events[-1]["InvokeComplete"], events
    return str(json.loads(b"".join(e["PayloadChunk"]["Payload"] for e in events[:-1])))


def test_the_loss_of_one_loses_nothing(three_nodes: Cloud) -> None:
    cloud = three_nodes
    first, second, third = cloud.rig.nodes[:3]
    load = Load(cloud, [first, second, third])
    try:
        time.sleep(LOAD_S_BEFORE)
        until(lambda: len(load.acknowledged) > 20, 20, "the load")
        before = len(load.acknowledged)
        first.kill()
        time.sleep(LOAD_S_AFTER)
        until(lambda: len(load.acknowledged) > before + 20, 20, "the load goes on without it")
        until(lambda: _goes_on_without_first(second), 20, "another does the work for all")
        first.up()
    finally:
        load.stop()
    until(lambda: whole(first), 20, "the node that came back is alive")
    until(lambda: _alike(cloud), 20, "what was cut off has come everywhere or nowhere")
    held = [cloud.items(node) for node in (first, second, third)]
    for node, items in zip((first, second, third), held, strict=True):
        lost = set(load.acknowledged) - set(items)
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
    print(f"{len(load.acknowledged)} acknowledged, worst pause {load.worst_pause_s():.1f} s")


def _goes_on_without_first(asked: RigNode) -> bool:
    seen = seen_from(asked)
    if not seen or seen["n1"]["health"] != "down" or seen["n3"]["health"] != "alive":
        return False
    return {n["name"] for n in seen.values() if "background" in n["roles"]} in ({"n2"}, {"n3"})


def _alike(cloud: Cloud) -> bool:
    first, second, third = (cloud.items(node) for node in cloud.rig.nodes[:3])
    return first == second == third
