"""Three nodes with three shards: each shard's state and log is kept, mended and made anew by itself
(S6, S7, C1). The tests go on where the one before ended."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from lab.rig import RigNode, until
from pileus.state.shard import home_of
from tests.acceptance.nodes import Cloud, all_alive, make_table, put, rigged
from tests.conftest import SOURCE

SHARDS = 3
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
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    base = tmp_path_factory.mktemp("shards")
    told = {"shards": str(SHARDS), "front_processes": "1"}
    with rigged(4, base, **told) as rig:
        first, *others = rig.nodes[:3]
        token = first.init()
        first.up()
        for node in others:
            node.join(token, first)
        made = Cloud(rig)
        made.keys = first.keys()
        make_table(made.client("dynamodb", first))
        yield made


def states(node: RigNode) -> list[int]:
    """Which file each shard's state is."""
    return [(home_of(node.home, n) / "state.db").stat().st_ino for n in range(SHARDS)]


def logs(asked: RigNode) -> dict[str, dict[str, int]]:
    """How many logs each node leads and keeps."""
    return {name: told.get("logs") or {} for name, told in asked.nodes().items()}


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
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.set_busy_timeout(5000)
        found: Any = connection.execute("SELECT 1 FROM rows WHERE k = ?", (ALIEN,)).fetchall()
        return bool(found)


def writes_go_on(cloud: Cloud, nodes: list[RigNode], word: str) -> None:
    for node in nodes:
        put(cloud.client("dynamodb", node), f"{word}-{node.name}", "x")


def test_every_node_has_every_shard_and_a_copy_of_every_log(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    until(lambda: all_alive(third), PATIENCE_S, "three nodes")
    until(lambda: kept_by_all(second), PATIENCE_S, "three copies of each log")
    for node in (first, second, third):
        assert len(states(node)) == SHARDS
    assert f"of {SHARDS} logs" in second.run("nodes")
    writes_go_on(cloud, [first, second, third], "whole")


def test_a_state_that_differs_is_fetched_anew_and_the_others_stay(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    third.down()
    path = home_of(third.home, DIVERGENT) / "state.db"
    with contextlib.closing(apsw.Connection(str(path))) as connection:
        connection.execute("INSERT INTO rows(k, v, ver) VALUES(?, X'78', 1)", (ALIEN,))
    before = states(third)
    third.up()
    writes_go_on(cloud, [first, second], "meanwhile")
    until(lambda: states(third)[DIVERGENT] != before[DIVERGENT], PATIENCE_S, "another state")
    until(lambda: all_alive(first), PATIENCE_S, "three nodes")
    after = states(third)
    assert [n for n in range(SHARDS) if after[n] != before[n]] == [DIVERGENT]
    assert not has_alien(third)
    writes_go_on(cloud, [third], "mended")
    assert f"shard {DIVERGENT} equal on n1, n2, n3" in first.run("verify")


def test_a_lost_copy_of_one_log_is_made_again(cloud: Cloud) -> None:
    first, second, _, _ = cloud.rig.nodes
    second.down()
    lost = list((second.home / "nats").glob("jetstream/*/streams/LOG_1"))
    assert lost
    for folder in lost:
        shutil.rmtree(folder)
    second.up()
    until(lambda: kept_by_all(first), PATIENCE_S, "three copies of each log")
    assert list((second.home / "nats").glob("jetstream/*/streams/LOG_1/msgs/*"))
    writes_go_on(cloud, [second], "copied")


def test_a_log_that_is_gone_is_made_anew_and_only_that(cloud: Cloud) -> None:
    first, second, third, _ = cloud.rig.nodes
    words = [sys.executable, "-c", DELETE_LOG, str(first.home), f"LOG_{DIVERGENT}"]
    assert first.host.run(words, {"PYTHONPATH": str(SOURCE)}, 30).returncode == 0
    assert f"of LOG_{DIVERGENT}" in second.run("renew-log")
    said = second.run("renew-log", "--yes")
    assert f"the log of shard {DIVERGENT} is LOG_{DIVERGENT}_1 now" in said
    assert said.count(" now, ") == 1, said
    until(lambda: all_alive(first) and kept_by_all(third), PATIENCE_S, "three nodes that go on")
    writes_go_on(cloud, [first, second, third], "renewed")
    assert "no log is damaged" in third.run("renew-log", "--yes")
    told = third.run("renew-log")
    assert f"of LOG_{DIVERGENT}_1" in told and "of LOG_1\n" in told


def test_a_fourth_node_has_all_shards(cloud: Cloud) -> None:
    first, _, _, fourth = cloud.rig.nodes
    fourth.join(first.run("token").split()[-1], first)
    until(lambda: all_alive(first, ("n1", "n2", "n3", "n4")), PATIENCE_S, "four nodes")
    assert len(states(fourth)) == SHARDS
    writes_go_on(cloud, [fourth], "fourth")
    assert set(cloud.items(fourth)) == set(cloud.items(first))
    until(lambda: kept_by_all(fourth, 4), PATIENCE_S, "three copies of each log")
