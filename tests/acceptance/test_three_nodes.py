"""One machine becomes three in place; any node answers; one dies under load and nothing is lost
(S5, S6, C1, C5).

Nodes have addresses of their own (network namespaces, or loopback addresses without root) and are
driven by the command and by boto3, as a user would.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.rig import Rig, until
from tests.acceptance.nodes import Cloud, Load, all_alive, make_table, put, rigged

LOAD_S_BEFORE, LOAD_S_AFTER = 2.0, 10.0


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    with rigged(3, tmp_path) as made:
        yield made


@pytest.mark.timeout(240)
def test_one_grows_to_three_and_the_loss_of_one_loses_nothing(rig: Rig) -> None:
    cloud = Cloud(rig)
    _one_machine(cloud)
    _grow(cloud)
    _any_node_answers(cloud)
    _one_dies_under_load(cloud)


def _one_machine(cloud: Cloud) -> None:
    """Data of before there was a cluster."""
    first = cloud.rig.nodes[0].up()
    cloud.keys = first.keys()
    dynamodb = cloud.client("dynamodb", first)
    make_table(dynamodb)
    for number in range(20):
        put(dynamodb, f"early{number}", "one machine")
    s3 = cloud.client("s3", first)
    s3.create_bucket(Bucket="grown")
    s3.put_object(Bucket="grown", Key="early", Body=b"e" * 700_000)
    cloud.cells(first).request_cell("PUT", "early", b"one machine")
    first.down()


def _grow(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes
    token = first.init()
    first.up()
    assert first.keys() == cloud.keys
    second.join(token, first)
    third.join(token, second)
    until(lambda: all_alive(third), 20, "three nodes that see each other alive")


def _any_node_answers(cloud: Cloud) -> None:
    nodes = cloud.rig.nodes
    for at, node in enumerate(nodes):
        put(cloud.client("dynamodb", node), f"at{at}", "x")
        cloud.client("s3", node).put_object(Bucket="grown", Key=f"at{at}", Body=b"b" * 400_000)
        cloud.cells(node).request_cell("PUT", f"at{at}", b"cell")
        cloud.client("iam", node).create_user(UserName=f"user{at}")
    for node in nodes:
        held = cloud.items(node)
        assert {"at0", "at1", "at2", *(f"early{n}" for n in range(20))} <= set(held)
        s3 = cloud.client("s3", node)
        assert s3.get_object(Bucket="grown", Key="early")["Body"].read() == b"e" * 700_000
        for at in range(3):
            body = s3.get_object(Bucket="grown", Key=f"at{at}")["Body"].read()
            assert body == b"b" * 400_000
            assert cloud.cells(node).request_cell("GET", f"at{at}")["Body"] == b"cell"
        assert cloud.cells(node).request_cell("GET", "early")["Body"] == b"one machine"
        users = cloud.client("iam", node).list_users()["Users"]
        assert {u["UserName"] for u in users} == {"user0", "user1", "user2"}


def _one_dies_under_load(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes
    load = Load(cloud)
    try:
        time.sleep(LOAD_S_BEFORE)
        before = len(load.acknowledged)
        first.kill()
        time.sleep(LOAD_S_AFTER)
        seen = second.nodes()
        while_down = len(load.acknowledged)
        first.up()
    finally:
        load.stop()
    assert before > 20 and while_down > before + 20, "the load did not go on without the node"
    assert seen["n1"]["health"] == "down" and seen["n3"]["health"] == "alive"
    assert {n["name"] for n in seen.values() if "background" in n["roles"]} in ({"n2"}, {"n3"})
    until(lambda: all_alive(first), 20, "the node that came back is alive")
    held = [cloud.items(node) for node in (first, second, third)]
    for node, items in zip(cloud.rig.nodes, held, strict=True):
        lost = set(load.acknowledged) - set(items)
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
    assert held[0] == held[1] == held[2]
    print(f"{len(load.acknowledged)} acknowledged, worst pause {load.worst_pause_s():.1f} s")
