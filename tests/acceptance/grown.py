"""One machine with data that has become three, mended between the tests that share it."""

from __future__ import annotations

import contextlib
import subprocess
from pathlib import Path

from lab.rig import NodeFailed, RigNode, until
from tests.acceptance.nodes import Cloud, make_table, put, rigged, whole

EARLY = {f"early{number}" for number in range(20)}
EARLY_OBJECT = b"e" * 700_000
BUCKET = "grown"
FUNCTIONS_MAX = 20  # at once on each node: few make it busy
REBUILD_S = "4"  # matters only where there is a fourth node


class Grown:
    """``whole()``: the cloud, its first three nodes alive. They are begun when first asked for."""

    def __init__(self, base: Path) -> None:
        self._base = base
        self._open = contextlib.ExitStack()
        self._cloud: Cloud | None = None

    @property
    def nodes(self) -> list[RigNode]:
        return self._cloud.rig.nodes[:3] if self._cloud else []

    def whole(self) -> Cloud:
        if self._cloud and not self._mend():
            self.close()
        if self._cloud is None:
            with contextlib.ExitStack() as opened:
                most = {"function_concurrency_max": str(FUNCTIONS_MAX)}
                rig = opened.enter_context(rigged(4, self._base, rebuild_after_s=REBUILD_S, **most))
                cloud = _grow(Cloud(rig))
                self._open = opened.pop_all()
            self._cloud = cloud
        return self._cloud

    def _mend(self) -> bool:
        """Every fault is taken away and the nodes are as they were."""
        assert self._cloud is not None
        self._cloud.rig.heal()
        try:
            for node in self.nodes:
                node.thaw()
                if not node.healthy():
                    node.switch_on()
            until(lambda: whole(self.nodes[0]), 60, "three nodes again")
        except (NodeFailed, TimeoutError, subprocess.TimeoutExpired) as error:
            print("not mended:", error)
            return False
        return True

    def close(self) -> None:
        self._cloud = None
        self._open.close()


def _grow(cloud: Cloud) -> Cloud:
    """Data of before there was a cluster, and two machines more."""
    first, second, third = cloud.rig.nodes[:3]
    first.up()
    cloud.keys = first.keys()
    dynamodb, s3 = cloud.client("dynamodb", first), cloud.client("s3", first)
    make_table(dynamodb)
    for key in sorted(EARLY):
        put(dynamodb, key, "one machine")
    s3.create_bucket(Bucket=BUCKET)
    s3.put_object(Bucket=BUCKET, Key="early", Body=EARLY_OBJECT)
    cloud.cells(first).request_cell("PUT", "early", b"one machine")
    first.down()
    token = first.init()
    first.up()
    assert first.keys() == cloud.keys
    second.join(token, first)
    third.join(token, second)
    until(lambda: whole(third), 60, "three nodes that see each other alive")
    return cloud
