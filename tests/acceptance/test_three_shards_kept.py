"""Three nodes with three shards: each shard's state and log is kept, mended and made anew by itself
(S6, S7, C1). The tests go on where the one before ended."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import urllib.request
from collections.abc import Sequence
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from lab.rig import NodeFailed, RigNode, until
from pileus.state.database import connect, connect_reader
from pileus.state.shard import home_of
from tests.acceptance.nodes import ASKING, ONCE, Cloud, all_alive, make_table
from tests.conftest import SOURCE

pytestmark = pytest.mark.skipif("CLUSTER_PROOF" not in os.environ, reason="make cluster-proof")
SHARDS = 3
TABLES = ("kept0", "kept1", "kept2")
DIVERGENT = 2
PATIENCE_S = 120
ALIEN = b"z\x00z\x00z"  # a row that no entry wrote
DELETE_LOG = """
import asyncio, sys
from pathlib import Path
from pileus.engine.cluster import streams
from pileus.nodes import places
from pileus.nodes.members import log_settings
async def main(home):
    s = log_settings(home, places.load(home))
    client = await streams.connect(s.servers, s.user, s.password, s.tls.context())
    await streams.ask(client, "STREAM.DELETE." + sys.argv[2])
    await client.close()
asyncio.run(main(Path(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def cloud(three_shards: Cloud) -> Cloud:
    """With a table in each shard, or nearly so: each new one is placed where the fewest are."""
    dynamodb = three_shards.client("dynamodb", three_shards.rig.nodes[0])
    for name in TABLES:
        make_table(dynamodb, name)
    return three_shards


def states(node: RigNode) -> list[int]:
    """Which file each shard's state is."""
    return [(home_of(node.home, n) / "state.db").stat().st_ino for n in range(SHARDS)]


def logs(asked: RigNode) -> dict[str, dict[str, int]]:
    """How many logs each node leads and keeps; nothing while the one that is asked starts again."""
    try:
        found = asked.nodes()
    except NodeFailed:
        return {}
    return {name: told.get("logs") or {} for name, told in found.items()}


def kept_by_all(asked: RigNode, count: int = 3) -> bool:
    """Whether there are three copies of every log, and a leader."""
    told = list(logs(asked).values())
    return (
        len(told) == count
        and sum(n.get("copies", 0) for n in told) == 3 * SHARDS
        and sum(n.get("leads", 0) for n in told) == SHARDS
    )


def has_alien(node: RigNode) -> bool:
    path = home_of(node.home, DIVERGENT) / "state.db"
    with contextlib.closing(connect_reader(path)) as connection:
        found: Any = connection.execute("SELECT 1 FROM rows WHERE k = ?", (ALIEN,)).fetchall()
        return bool(found)


def write(cloud: Cloud, node: RigNode, table: str, key: str, config: Config = ASKING) -> None:
    item = {"k": {"S": key}}
    cloud.client("dynamodb", node, config).put_item(TableName=table, Item=item)


def writes_go_on(
    cloud: Cloud, nodes: Sequence[RigNode], word: str, tables: Sequence[str] = TABLES
) -> None:
    for node in nodes:
        for table in tables:
            write(cloud, node, table, f"{word}-{node.name}")


def refused(cloud: Cloud, node: RigNode) -> list[str]:
    """The tables that take nothing in now."""
    found = []
    for table in TABLES:
        try:
            write(cloud, node, table, "refused or not", ONCE)
        except (BotoCoreError, ClientError):
            found.append(table)
    return found


def health(node: RigNode) -> dict[str, Any]:
    """What a node says of itself; nothing while it does not answer."""
    try:
        with urllib.request.urlopen(f"{node.endpoint}/_pileus/health", timeout=60) as answer:
            return dict(json.loads(answer.read()))
    except OSError:
        return {}


def ready(node: RigNode) -> bool:
    return health(node).get("status") == "ready"


def test_every_node_has_every_shard_and_a_copy_of_every_log(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    until(lambda: all_alive(third), PATIENCE_S, "three nodes")
    until(lambda: kept_by_all(second), PATIENCE_S, "three copies of each log")
    for node in (first, second, third):
        assert len(states(node)) == SHARDS
    assert f"of {SHARDS} logs" in second.run("nodes")
    writes_go_on(cloud, [first, second, third], "whole")
    until(lambda: ready(second), PATIENCE_S, "the second is ready")


def test_a_state_that_differs_and_a_lost_copy_of_a_log_are_made_again(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    third.down()
    path = home_of(third.home, DIVERGENT) / "state.db"
    with contextlib.closing(connect(path)) as connection:
        connection.execute("INSERT INTO rows(k, v, ver) VALUES(?, X'78', 1)", (ALIEN,))
    lost = list((third.home / "nats").glob("jetstream/*/streams/LOG_1"))
    assert lost
    for folder in lost:
        shutil.rmtree(folder)
    before = states(third)
    third.up()
    writes_go_on(cloud, [first, second], "meanwhile")
    until(lambda: states(third)[DIVERGENT] != before[DIVERGENT], PATIENCE_S, "another state")
    until(lambda: all_alive(first) and kept_by_all(first), PATIENCE_S, "all of three nodes")
    after = states(third)
    assert [n for n in range(SHARDS) if after[n] != before[n]] == [DIVERGENT]
    assert not has_alien(third)
    assert list((third.home / "nats").glob("jetstream/*/streams/LOG_1/msgs/*"))
    writes_go_on(cloud, [third], "mended")
    equal = f"shard {DIVERGENT} equal on n1, n2, n3"
    until(lambda: equal in first.run("verify"), PATIENCE_S, "who was too busy is asked again")


def test_a_log_that_is_gone_stops_its_shard_only_and_is_made_anew(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    words = [sys.executable, "-c", DELETE_LOG, str(first.home), f"LOG_{DIVERGENT}"]
    assert first.host.run(words, {"PYTHONPATH": str(SOURCE)}, 30).returncode == 0
    until(lambda: health(third).get("shards") == [DIVERGENT], PATIENCE_S, "a shard without a log")
    without = refused(cloud, second)
    assert 0 < len(without) < len(TABLES), without
    assert f"of LOG_{DIVERGENT}" in second.run("renew-log")
    said = second.run("renew-log", "--yes")
    assert f"the log of shard {DIVERGENT} is LOG_{DIVERGENT}_1 now" in said
    assert said.count(" now, ") == 1, said
    until(lambda: all_alive(first) and kept_by_all(third), PATIENCE_S, "three nodes that go on")
    writes_go_on(cloud, [first, second, third], "renewed")
    until(lambda: ready(third), PATIENCE_S, "the third is ready")
    assert "no log is damaged" in third.run("renew-log", "--yes")
    told = third.run("renew-log")
    assert f"of LOG_{DIVERGENT}_1" in told and "of LOG_1\n" in told


def test_a_fourth_node_has_all_shards(cloud: Cloud) -> None:
    first, _, _, fourth = cloud.rig.nodes
    fourth.join(first.run("token").split()[-1], first)
    until(lambda: all_alive(first, ("n1", "n2", "n3", "n4")), PATIENCE_S, "four nodes")
    assert len(states(fourth)) == SHARDS
    writes_go_on(cloud, [fourth], "fourth")
    for table in TABLES:
        found = cloud.client("dynamodb", fourth).scan(TableName=table, ConsistentRead=True)
        assert {"mended-n3", "renewed-n1", "fourth-n4"} <= {i["k"]["S"] for i in found["Items"]}
    until(lambda: kept_by_all(fourth, 4), PATIENCE_S, "three copies of each log")
