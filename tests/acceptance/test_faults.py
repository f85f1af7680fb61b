"""The faults of the lab, on three nodes under load from outside: nothing acknowledged is lost or
doubled, one order explains every answer, and the cluster is whole again by itself (S5, S6, R4).

Here one round of those that no other test makes. ``PILEUS_FAULT_ROUNDS=5`` (``make faults``): so
many rounds of every fault; ``make soak``: fifty.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import matrix
from lab.chores import LATE_S
from lab.cluster import Cluster
from lab.faults import FAULTS, Fault, possible
from tests.acceptance.grown import Grown

ROUNDS = int(os.environ.get("PILEUS_FAULT_ROUNDS", "0"))
# The others: test_three_nodes, test_all_nodes_die, test_serving_nodes, test_blobs_on_nodes; a full
# disk (a minute and more) only by `make faults`.
HERE = (
    *("cut-one-way", "log-leader", "disk-slow", "clock-ahead"),
    *("power-cut", "rot-state", "rot-log"),
)
MADE = [fault for fault in FAULTS if ROUNDS or fault.name in HERE]


class Matrix:
    """The cluster of the last round; another where that did not come back."""

    def __init__(self, grown: Grown) -> None:
        self._grown = grown
        self._cluster: Cluster | None = None

    def cluster(self) -> Cluster:
        if self._cluster is None:
            rig = self._grown.whole().rig
            self._cluster = Cluster(rig, rig.nodes[:3])
        return self._cluster

    def run(self, fault: Fault, rounds: int, out: Path) -> list[matrix.Round]:
        cluster, self._cluster = self.cluster(), None
        done = matrix.run(cluster, [fault], rounds, out, print)
        if not any(one.bad for one in done):
            self._cluster = cluster
        return done

    def close(self) -> None:
        if self._cluster is not None:
            self._cluster.chores.close()


@pytest.fixture(scope="module")
def faulty(grown: Grown) -> Iterator[Matrix]:
    made = Matrix(grown)
    yield made
    made.close()
    for node in grown.nodes:
        print(node.name, node.log()[-3000:])


@pytest.mark.timeout(900 * max(ROUNDS, 1))
@pytest.mark.parametrize("fault", MADE, ids=[fault.name for fault in MADE])
def test_nothing_is_lost_and_the_cluster_is_whole_again(
    fault: Fault, faulty: Matrix, tmp_path: Path
) -> None:
    if fault not in possible(faulty.cluster().nodes):
        pytest.skip(f"NOT TESTED: {fault.what}: needs {', '.join(sorted(fault.needs))}")
    done = faulty.run(fault, max(ROUNDS, 1), tmp_path)
    print(matrix.table(done))
    assert [said for one in done for said in one.bad] == []
    assert all(one.acknowledged and one.operations for one in done)


@pytest.mark.skipif(not ROUNDS, reason="up to three minutes: make faults")
@pytest.mark.timeout(900)
def test_afterwards_each_effect_of_the_background_work_is_there_once(faulty: Matrix) -> None:
    chores = faulty.cluster().chores
    assert chores.settled(LATE_S) == ([], [])
    assert chores.acknowledged


@pytest.mark.timeout(900)
def test_afterwards_all_copies_are_equal_and_whole(faulty: Matrix) -> None:
    assert matrix.verified(faulty.cluster()) == []
