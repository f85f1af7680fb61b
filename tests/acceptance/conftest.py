"""Three nodes that the tests of several files share: they take longer to begin than to break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.acceptance.grown import Grown
from tests.acceptance.nodes import Cloud, last_words, rigged


@pytest.fixture(scope="session")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    made = Grown(tmp_path_factory.mktemp("three"))
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def three_nodes(grown: Grown) -> Iterator[Cloud]:
    """Nodes n1, n2 and n3, alive and without a fault; a host for a fourth that is not one yet.

    Name what you make uniquely. Kill, freeze and cut off what you like: it is mended for the next
    test, and where that does not work there are others. Tests that use it run one after the other,
    at the end; last of all the file that takes nodes away (its fixture is ``parting_nodes``)."""
    yield grown.whole()
    for node in grown.nodes:  # pytest shows it when the test failed
        print(last_words(node))


@pytest.fixture(scope="session")
def three_shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Nodes n1, n2 and n3 of a cloud with three shards, for files that run one after the other; a
    host for a fourth, which the last of them lets join. Leave them alive and name what you make
    uniquely."""
    base = tmp_path_factory.mktemp("shards")
    with rigged(4, base, shards="3", front_processes="1") as rig:
        first, *others = rig.nodes[:3]
        token = first.init()
        first.up()
        for node in others:
            node.join(token, first)
        made = Cloud(rig)
        made.keys = first.keys()
        yield made
