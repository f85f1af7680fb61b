"""Three nodes whose cloud has three shards: nobody who uses it can tell, also while a tablet moves
and a node is killed (S3, S5, C1)."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from lab.rig import NodeFailed, RigNode, until
from tests.acceptance.nodes import TABLE, Cloud, Load, all_alive, make_table, put, rigged

SHARDS = "3"
OTHER = "other"


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with rigged(3, tmp_path_factory.mktemp("shards"), shards=SHARDS) as rig:
        first, second, third = rig.nodes
        token = first.init()
        first.up()
        made = Cloud(rig)
        made.keys = first.keys()
        second.join(token, first)
        third.join(token, second)
        until(lambda: all_alive(third), 90, "three nodes that see each other alive")
        dynamodb = made.client("dynamodb", first)
        make_table(dynamodb)
        dynamodb.create_table(
            TableName=OTHER,
            KeySchema=[{"AttributeName": "k", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "k", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield made


def both(value: str) -> list[dict[str, Any]]:
    item = {"k": {"S": "both"}, "v": {"S": value}}
    return [{"Put": {"TableName": name, "Item": item}} for name in ("threenodes", OTHER)]


@pytest.mark.timeout(400)
def test_any_node_reads_what_any_wrote(cloud: Cloud) -> None:
    clients = [cloud.client("dynamodb", node) for node in cloud.rig.nodes]
    for at, writer in enumerate(clients):
        put(writer, f"at{at}", "x")
        writer.transact_write_items(TransactItems=both(str(at)))
        for reader in clients:
            for table in ("threenodes", OTHER):
                key = {"k": {"S": "both"}}
                told = reader.get_item(TableName=table, Key=key, ConsistentRead=True)
                assert told["Item"]["v"]["S"] == str(at)
            gets = [{"Get": {"TableName": t, "Key": key}} for t in ("threenodes", OTHER)]
            told = reader.transact_get_items(TransactItems=gets)["Responses"]
            assert [r["Item"]["v"]["S"] for r in told] == [str(at)] * 2
        found = [cloud.items(node) for node in cloud.rig.nodes]
        assert found[0] == found[1] == found[2] and f"at{at}" in found[0]


@pytest.mark.timeout(500)
def test_a_tablet_moves_under_load_while_a_node_dies(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes
    load = Load(cloud)
    try:
        until(lambda: load.acknowledged, 40, "the load has begun")
        at = until(lambda: shard_of(first) + 1, 20, "where the table lies") - 1
        second.run("tablets", "move", f"dynamodb:{TABLE}", "--to", str((at + 1) % 3), "--no-wait")
        second.kill()
        time.sleep(1.0)
        before = len(load.acknowledged)
        until(lambda: len(load.acknowledged) > before + 40, 120, "the load goes on without a node")
        until(lambda: shard_of(first) == (at + 1) % 3, 120, "others go on with the move")
        second.up()
        until(lambda: all_alive(third), 120, "the node that came back is alive")
    finally:
        load.stop()
    until(lambda: _alike(cloud), 20, "what was cut off has come everywhere or nowhere")
    held = [cloud.items(node) for node in cloud.rig.nodes]
    for node, items in zip(cloud.rig.nodes, held, strict=True):
        lost = set(load.acknowledged) - set(items)
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
    told = until(lambda: _proved(third), 30, "every node tells its rows")
    for shard in (told["nodes"], *told["shards"]):
        digests = shard["digests"]
        assert len(digests) == 3 and len(set(digests.values())) == 1, shard
    assert len(told["shards"]) == 2


def _alike(cloud: Cloud) -> bool:
    first, second, third = (cloud.items(node) for node in cloud.rig.nodes)
    return first == second == third


def _proved(asked: RigNode) -> dict[str, Any]:
    """What ``pileus verify`` finds, once it could ask every node about every shard."""
    told: dict[str, Any] = json.loads(asked.run("verify", "--json"))
    return {} if any(s["unasked"] for s in (told["nodes"], *told["shards"])) else told


def shard_of(node: RigNode) -> int:
    """Where the table lies; -1 while the node cannot tell."""
    try:
        told = json.loads(node.run("tablets", "--json"))
    except NodeFailed as error:
        print("asked again:", str(error)[:300])
        return -1
    return next(int(t["shard"]) for t in told["tablets"] if TABLE in t["holds"])
