"""All nodes die at one moment, right after the third has joined; two of them are enough (S5,
S6)."""

from __future__ import annotations

import pytest

from lab.rig import until
from tests.acceptance.nodes import Cloud, make_table, put, rigged, whole


def test_two_of_three_go_on_with_all_that_was_acknowledged(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with rigged(3, tmp_path_factory.mktemp("die")) as rig:
        cloud = Cloud(rig)
        first, second, third = rig.nodes
        token = first.init()
        first.up()
        cloud.keys = first.keys()
        make_table(cloud.client("dynamodb", first))
        second.join(token, first)
        writers = [cloud.client("dynamodb", node) for node in (first, second)]
        for number in range(50):
            put(writers[number % 2], f"k{number}", "x")
        third.join(token, first)
        for node in rig.nodes:
            node.kill()
        rig.start([second, third])
        for node in (second, third):
            assert set(cloud.items(node)) == {f"k{number}" for number in range(50)}
        put(cloud.client("dynamodb", third), "after", "x")
        first.switch_on()
        until(lambda: whole(first), 20, "all three again")
        assert "after" in cloud.items(first)
