"""The workshop's steps again, each call at another of three nodes (K1, K2, C1).

Beside the other tests it costs more than they may: ``make cluster-proof`` runs it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from tests.acceptance.test_workshop import *  # noqa: F403  its steps and fixtures
from tests.conftest import Cloud
from tests.spread import SpreadCloud

pytestmark = pytest.mark.skipif("CLUSTER_PROOF" not in os.environ, reason="make cluster-proof")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    made = SpreadCloud(tmp_path_factory.mktemp("workshop") / "home")
    try:
        yield made.up()
    finally:
        made.down()
        print(made.log()[-6000:])
