"""One machine becomes three in place; any node answers; one dies under load and nothing is lost
(S5, S6, C1, C5).

Nodes have addresses of their own (network namespaces, or loopback addresses without root) and are
driven by the command and by boto3, as a user would.
"""

from __future__ import annotations

import itertools
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.history.cells import CellClient
from lab.rig import Rig, RigNode, until
from tests.conftest import SOURCE

LOAD_S_BEFORE, LOAD_S_AFTER = 2.0, 10.0
WRITERS = 4
TABLE = "threenodes"
ASKING = Config(retries={"max_attempts": 8}, connect_timeout=2, read_timeout=10)
ONCE = Config(retries={"max_attempts": 0}, connect_timeout=1, read_timeout=8)


class Cloud:
    """The rig and its owner's keys."""

    def __init__(self, rig: Rig) -> None:
        self.rig = rig
        self.keys: dict[str, str] = {}

    def client(self, service: str, node: RigNode, config: Config = ASKING) -> Any:
        return boto3.client(
            service,
            endpoint_url=node.endpoint,
            aws_access_key_id=self.keys["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=self.keys["AWS_SECRET_ACCESS_KEY"],
            region_name=self.keys["AWS_REGION"],
            config=config,
        )

    def cells(self, node: RigNode) -> CellClient:
        key = self.keys["AWS_ACCESS_KEY_ID"], self.keys["AWS_SECRET_ACCESS_KEY"]
        return CellClient(node.endpoint, *key, self.keys["AWS_REGION"], "wide")

    def items(self, node: RigNode) -> dict[str, str]:
        """The whole table as a strong scan at ``node`` tells it."""
        pages = self.client("dynamodb", node).get_paginator("scan")
        found = pages.paginate(TableName=TABLE, ConsistentRead=True)
        return {i["k"]["S"]: i["v"]["S"] for page in found for i in page["Items"]}


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    words = [sys.executable, "-m", "pileus.cli"]
    with Rig(3, words, {"PYTHONPATH": str(SOURCE)}, base=tmp_path) as made:
        yield made
        for node in made.nodes:
            print(node.name, node.log()[-3000:])


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
    dynamodb.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
        BillingMode="PAY_PER_REQUEST",
    )
    for number in range(20):
        _put(dynamodb, f"early{number}", "one machine")
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
    until(lambda: _all_alive(third), 20, "three nodes that see each other alive")


def _all_alive(node: RigNode) -> bool:
    seen = node.nodes()
    return [n["health"] for n in seen.values()] == ["alive"] * 3 and all(
        n["state"] == "member" for n in seen.values()
    )


def _any_node_answers(cloud: Cloud) -> None:
    nodes = cloud.rig.nodes
    for at, node in enumerate(nodes):
        _put(cloud.client("dynamodb", node), f"at{at}", "x")
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


class Load:
    """Writers that put unique items, each at the next node when one fails; what was acknowledged
    and the longest pause between two acknowledgements."""

    def __init__(self, cloud: Cloud) -> None:
        self.acknowledged: list[str] = []
        self.times: list[float] = []
        self._stop = threading.Event()
        self._cloud = cloud
        self._threads = [threading.Thread(target=self._write, args=(w,)) for w in range(WRITERS)]
        for thread in self._threads:
            thread.start()

    def _write(self, writer: int) -> None:
        nodes = self._cloud.rig.nodes
        clients = [self._cloud.client("dynamodb", node, ONCE) for node in nodes]
        number = 0
        while not self._stop.is_set():
            key = f"w{writer}-{number}"
            for at in range(writer, writer + len(nodes)):
                try:
                    _put(clients[at % len(nodes)], key, "x")
                except (BotoCoreError, ClientError):
                    continue
                self.acknowledged.append(key)
                self.times.append(time.monotonic())
                break
            number += 1

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def worst_pause_s(self) -> float:
        times = sorted(self.times)
        return max(b - a for a, b in itertools.pairwise(times))


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
    until(lambda: _all_alive(first), 20, "the node that came back is alive")
    held = [cloud.items(node) for node in (first, second, third)]
    for node, items in zip(cloud.rig.nodes, held, strict=True):
        lost = set(load.acknowledged) - set(items)
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
    assert held[0] == held[1] == held[2]
    print(f"{len(load.acknowledged)} acknowledged, worst pause {load.worst_pause_s():.1f} s")


def _put(dynamodb: Any, key: str, value: str) -> None:
    dynamodb.put_item(TableName=TABLE, Item={"k": {"S": key}, "v": {"S": value}})
