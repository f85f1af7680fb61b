"""Nodes of two releases in one cluster: upgraded node by node under load, nothing fails, nothing is
lost, all agree; new rules come into force when the last node knows them (S6, S7).

The older release is this checkout's before there was any way to agree on rules, where the history
has it, else this checkout; the newer one is ``next_release``.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
import time
from pathlib import Path

import pytest

from lab.rig import Rig, RigNode, until
from pileus.state.database import Rows, connect_reader
from tests.acceptance.next_release import COUNTED
from tests.acceptance.nodes import Cloud, all_alive, make_table
from tests.acceptance.spread import Spread
from tests.conftest import SOURCE

ROOT = SOURCE.parent
OLDER = "1363fe75377d22f3397ac18a190b247f77f00666"
NAMES = ("n1", "n2", "n3")


def older_source(into: Path) -> Path:
    """Where the older release's code is."""
    found = subprocess.run(
        ["git", "-C", str(ROOT), "archive", OLDER, "src"], capture_output=True, timeout=60
    )
    if found.returncode:
        print("the history has no", OLDER, "- the older release is this checkout")
        return SOURCE
    with tarfile.open(fileobj=io.BytesIO(found.stdout)) as archive:
        # Python before 3.11.4 knows no filters; the archive is this repository's own.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(into)
    return into / "src"


@pytest.mark.skipif("CLUSTER_PROOF" not in os.environ, reason="a minute: make cluster-proof")
@pytest.mark.timeout(600)
def test_a_cluster_is_upgraded_node_by_node_under_load(tmp_path: Path) -> None:
    older = [sys.executable, "-m", "pileus.cli"]
    env = {"PYTHONPATH": str(older_source(tmp_path / "older")), "PILEUS_FRONT_PROCESSES": "1"}
    env["PILEUS_SHARDS"] = "1"
    with Rig(3, older, env, base=tmp_path) as rig:
        rig.form()
        cloud = Cloud(rig)
        first, second, third = rig.nodes
        cloud.keys = first.keys()
        until(lambda: all_alive(third), 20, "three nodes of the older release")
        make_table(cloud.client("dynamodb", first))
        cloud.client("s3", first).create_bucket(Bucket="spread")
        load = Spread(cloud, {node.name: node for node in rig.nodes})
        cells = 0
        try:
            for node in (third, second, first):
                _upgrade(node)
                for each in rig.nodes:  # entries of both, in one log
                    cloud.cells(each).request_cell("PUT", f"cell{cells}", b"x")
                    cells += 1
                if node is not first:
                    assert {_counted(each) for each in rig.nodes} == {None}
            until(lambda: _counts(cloud, rig.nodes), 20, "the new rules are in force on all nodes")
        finally:
            load.stop()
            for node in rig.nodes:
                print(node.name, node.log()[-3000:])
        assert load.failures == [] and len(load.acknowledged) > 50
        for node in rig.nodes:
            assert set(load.acknowledged) <= set(cloud.items(node)), node.name
        proved = json.loads(second.run("verify", "--json"))
        assert proved["problems"] == [] and set(proved["nodes"]["digests"]) == set(NAMES)
        assert len(set(proved["nodes"]["digests"].values())) == 1
        print(f"{len(load.acknowledged)} writes while three nodes were upgraded, none failed")


def _upgrade(node: RigNode) -> None:
    """As docs/operations.md says."""
    began = time.monotonic()
    node.run("drain")
    node.down()
    node.release([sys.executable, "-m", "tests.acceptance.next_release"], f"{SOURCE}:{ROOT}")
    node.up()
    until(lambda: all(n["lag"] is not None for n in node.nodes().values()), 20, "it sees the rest")
    node.run("drain", "--undo")
    until(lambda: all_alive(node), 20, "it takes part again")
    print(f"{node.name} upgraded in {time.monotonic() - began:.1f} s")


def _counted(node: RigNode) -> bytes | None:
    connection = connect_reader(node.home / "state.db")
    try:
        return Rows(connection).value(COUNTED)
    finally:
        connection.close()


def _counts(cloud: Cloud, nodes: list[RigNode]) -> bool:
    """Whether a put counts on every node."""
    cloud.cells(nodes[0]).request_cell("PUT", "again", b"x")
    return all(_counted(node) for node in nodes)
