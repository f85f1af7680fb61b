"""A GET through a node's edge never fails because a front end, or a whole other node, is lost (E3,
C1): the viewers of ``lab.fronts``, one round. ``make cluster-proof``: one of each loss."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from lab import fronts
from lab.cluster import Cluster
from lab.fronts import Street
from lab.losses import LOSSES, Loss
from tests.acceptance.nodes import Cloud

MADE = [loss for loss in LOSSES if "CLUSTER_PROOF" in os.environ or loss.name == "node"]


@pytest.fixture
def street(three_nodes: Cloud) -> Iterator[Street]:
    made = Street(Cluster(three_nodes.rig, three_nodes.rig.nodes[:3]))
    with made.viewers:
        yield made
    made.cluster.chores.close()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("loss", MADE, ids=[loss.name for loss in MADE])
def test_no_get_fails(loss: Loss, street: Street) -> None:
    if loss.links and not street.cluster.rig.links:
        pytest.skip("NOT TESTED: links can be cut between network namespaces only")
    done = fronts.one_round(street, loss, 0)
    print(done)
    assert done.GET.asked and done.POST.asked
    assert done.GET.failed == {}
