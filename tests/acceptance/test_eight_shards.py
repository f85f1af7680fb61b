"""Three nodes whose cloud has the shards it comes with, eight: nobody who uses it can tell, also
while a tablet moves and a node is killed (S3, S5, C1)."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.rig import NodeFailed, RigNode, until
from pileus.config import Config
from pileus.nodes import entering, places
from pileus.nodes.token import parse
from pileus.state import removed
from pileus.state.database import connect_reader
from pileus.state.shard import home_of
from tests.acceptance.nodes import TABLE, Cloud, Load, all_alive, make_table, put, rigged

SHARDS = entering.SHARDS
TABLES = (TABLE, "second", "third", "fourth")
KEY = {"k": {"S": "all"}}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with rigged(3, tmp_path_factory.mktemp("shards"), shards="") as rig:
        first, second, third = rig.nodes
        token = first.init()
        first.up()
        made = Cloud(rig)
        made.keys = first.keys()
        second.join(token, first)
        third.join(token, second)
        until(lambda: all_alive(third), 90, "three nodes that see each other alive")
        for name in TABLES:
            make_table(made.client("dynamodb", first), name)
        yield made


def tablets(node: RigNode) -> dict[str, Any]:
    """The map; nothing while the node cannot tell."""
    try:
        return dict(json.loads(node.run("tablets", "--json")))
    except NodeFailed as error:
        print("asked again:", str(error)[:300])
        return {}


def shard_of(node: RigNode, table: str = TABLE) -> int:
    """Where a table lies; -1 while the node cannot tell."""
    told = tablets(node).get("tablets", ())
    return next((int(t["shard"]) for t in told if table in t["holds"]), -1)


def write_all(cloud: Cloud, node: RigNode, value: str) -> None:
    """To every table at once, in one transaction across their shards; and a row to each."""
    dynamodb = cloud.client("dynamodb", node)
    item = KEY | {"v": {"S": value}}
    puts = [{"Put": {"TableName": name, "Item": item}} for name in TABLES]
    dynamodb.transact_write_items(TransactItems=puts)
    for name in TABLES:
        dynamodb.put_item(TableName=name, Item={"k": {"S": value}, "v": {"S": name}})


def check_all(cloud: Cloud, node: RigNode, values: list[str]) -> None:
    """The last transaction whole, and every row."""
    dynamodb = cloud.client("dynamodb", node)
    gets = [{"Get": {"TableName": name, "Key": KEY}} for name in TABLES]
    told = dynamodb.transact_get_items(TransactItems=gets)["Responses"]
    assert [r["Item"]["v"]["S"] for r in told] == values[-1:] * len(TABLES)
    for name in TABLES:
        pages = dynamodb.get_paginator("scan").paginate(TableName=name, ConsistentRead=True)
        held = {i["k"]["S"] for page in pages for i in page["Items"]}
        assert {*values, "all"} <= held, (node.name, name)


@pytest.mark.timeout(400)
def test_any_node_reads_what_any_wrote(cloud: Cloud) -> None:
    first = cloud.rig.nodes[0]
    assert len(until(lambda: tablets(first), 20, "the map")["shards"]) == SHARDS == 8
    assert len({shard_of(first, name) for name in TABLES}) == len(TABLES)
    values: list[str] = []
    for at, writer in enumerate(cloud.rig.nodes):
        put(cloud.client("dynamodb", writer), f"at{at}", "x")
        values.append(f"by{at}")
        write_all(cloud, writer, values[-1])
        for reader in cloud.rig.nodes:
            check_all(cloud, reader, values)
        found = [cloud.items(node) for node in cloud.rig.nodes]
        assert found[0] == found[1] == found[2] and f"at{at}" in found[0]


@pytest.mark.timeout(500)
def test_a_tablet_moves_under_load_while_a_node_dies(cloud: Cloud) -> None:
    first, second, third = cloud.rig.nodes
    load = Load(cloud)
    try:
        until(lambda: load.acknowledged, 40, "the load has begun")
        at = until(lambda: shard_of(first) + 1, 20, "where the table lies") - 1
        to = (at + 1) % SHARDS
        second.run("tablets", "move", f"dynamodb:{TABLE}", "--to", str(to), "--no-wait")
        second.kill()
        time.sleep(1.0)
        before = len(load.acknowledged)
        until(lambda: len(load.acknowledged) > before + 40, 120, "the load goes on without a node")
        write_all(cloud, third, "without one")
        check_all(cloud, first, ["without one"])
        until(lambda: shard_of(first) == to, 120, "others go on with the move")
        second.up()
        until(lambda: all_alive(third), 120, "the node that came back is alive")
    finally:
        load.stop()
    until(lambda: _alike(cloud), 20, "what was cut off has come everywhere or nowhere")
    held = [cloud.items(node) for node in cloud.rig.nodes]
    for node, items in zip(cloud.rig.nodes, held, strict=True):
        lost = set(load.acknowledged) - set(items)
        assert not lost, f"{node.name} lacks {len(lost)} acknowledged writes"
        check_all(cloud, node, ["without one"])
    told = until(lambda: _proved(third), 30, "every node tells its rows")
    for shard in (told["nodes"], *told["shards"]):
        digests = shard["digests"]
        assert len(digests) == 3 and len(set(digests.values())) == 1, shard
    assert len(told["shards"]) == SHARDS - 1


def _alike(cloud: Cloud) -> bool:
    first, second, third = (cloud.items(node) for node in cloud.rig.nodes)
    return first == second == third


def _proved(asked: RigNode) -> dict[str, Any]:
    """What ``pileus verify`` finds, once it could ask every node about every shard."""
    told: dict[str, Any] = json.loads(asked.run("verify", "--json"))
    return {} if any(s["unasked"] for s in (told["nodes"], *told["shards"])) else told


def test_one_that_was_let_in_and_never_came_is_refused_in_every_shard(
    cloud: Cloud, tmp_path: Path
) -> None:
    """It may be a machine that froze on its way, and be asked to write when it thaws."""
    first = cloud.rig.nodes[0]
    address = first.address.rpartition(".")[0] + ".77"
    config = Config(home=tmp_path / "home", host=address)
    ports = {name: getattr(config, name) for name in places.PORTS}
    admitting = parse(first.run("token").split()[-1])
    entering.enter(config, ports, admitting, first.address, config.port)
    assert "n4" in first.nodes()
    first.run("leave", "n4")
    assert "n4" not in first.nodes()
    for node in cloud.rig.nodes:
        for number in range(SHARDS):
            state = home_of(node.home, number) / "state.db"
            until(lambda state=state: _refuses(state, "n4"), 60, f"{node.name}'s shard {number}")


def _refuses(state: Path, name: str) -> bool:
    with contextlib.closing(connect_reader(state)) as connection:
        found = connection.execute("SELECT 1 FROM rows WHERE k = ?", (removed.key(name),))
        return bool(found.fetchall())
