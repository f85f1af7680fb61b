"""Every fault the lab knows, on three nodes under load from outside: nothing acknowledged is lost
or doubled, one order explains every answer, and the cluster is whole again by itself (S5, S6, R4).

A round each; ``PILEUS_FAULT_ROUNDS`` (``make faults``) for more, ``make soak`` for many.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import matrix
from lab.faults import FAULTS, Fault, possible
from tests.acceptance.nodes import Cloud

ROUNDS = int(os.environ.get("PILEUS_FAULT_ROUNDS", "1"))


@pytest.fixture(scope="module")
def known() -> Iterator[dict[int, matrix.Cluster]]:
    """The cluster the last test used, with its clients; its rounds are shown at the end."""
    yield {}


@pytest.fixture
def cluster(three_nodes: Cloud, known: dict[int, matrix.Cluster]) -> matrix.Cluster:
    at = id(three_nodes.rig)
    if at not in known:
        known[at] = matrix.Cluster(three_nodes.rig, three_nodes.rig.nodes[:3])
    return known[at]


@pytest.mark.timeout(180 * ROUNDS)
@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_nothing_is_lost_and_the_cluster_is_whole_again(
    fault: Fault, cluster: matrix.Cluster, tmp_path: Path
) -> None:
    if fault not in possible(cluster.nodes):
        pytest.skip(f"NOT TESTED: {fault.what}: needs {', '.join(sorted(fault.needs))}")
    done = matrix.run(cluster, [fault], ROUNDS, tmp_path, print)
    print(matrix.table(done))
    assert [said for one in done for said in one.bad] == []
    assert all(one.acknowledged and one.operations for one in done)


def test_afterwards_all_copies_are_equal_and_whole(cluster: matrix.Cluster) -> None:
    assert matrix.verified(cluster) == []
