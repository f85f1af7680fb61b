"""Long-running services on three nodes: spread, asked through any node, moved off a dead one
(C7, C2)."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

from lab.rig import API_PORT, RigNode, until
from tests.acceptance.nodes import Cloud
from tests.services.longrunning.client import Refused, Services

HEALTH = {"Path": "/", "IntervalSeconds": 0.5}


@dataclass
class At:
    """The cloud as one node shows it."""

    node: RigNode
    env: dict[str, str]
    port: int = API_PORT

    @property
    def endpoint(self) -> str:
        return self.node.endpoint


def placed(api: Services, name: str, copies: int, lost: str = "") -> Counter[str]:
    """Where healthy copies are, once there are as many as wished and none is said to be on the
    ``lost`` node."""

    def look() -> Any:
        try:
            told = api.describe(name)
        except (Refused, OSError):
            return None
        nodes = [c["Node"] for c in told["CopyStates"] if c["State"] == "HEALTHY"]
        return Counter(nodes) if len(nodes) == copies and lost not in nodes else None

    return until(look, 60, f"{copies} healthy copies of {name}")


def test_services_are_spread_and_moved(three_nodes: Cloud) -> None:
    nodes = three_nodes.rig.nodes[:3]
    apis = [Services(At(node, three_nodes.keys)) for node in nodes]
    apis[0].create("spread", Copies=3, Route="/spread/*", HealthCheck=HEALTH)
    apis[1].create("single", Copies=1, Route="/single/*", HealthCheck=HEALTH)
    where = placed(apis[2], "spread", 3)
    assert sorted(where.values()) == [1, 1, 1], where
    (home,) = placed(apis[2], "single", 1)
    for api in apis:  # any node answers, wherever the copy is
        for name in ("spread", "single"):
            status, told = until(
                lambda api=api, name=name: answered(api, name), 10, f"{name} at every node"
            )
            assert status == 200 and told["path"] == "/x", told
            assert "x-pileus-hop" not in told["headers"] or name == "single"

    lost = next(n for n in nodes if n.name == home)
    living = [api for api, node in zip(apis, nodes, strict=True) if node is not lost]
    began = time.monotonic()
    lost.kill()
    for api in living:
        placed(api, "single", 1, lost=home)
        until(lambda api=api: answered(api, "single"), 30, "single answers again")
    print(f"node lost: single answers at both others after {time.monotonic() - began:.1f} s")
    where = placed(living[0], "spread", 3, lost=home)
    assert sorted(where.values()) == [1, 2], where
    for name in ("spread", "single"):
        living[0]("DELETE", f"/{name}")


def answered(api: Services, name: str) -> Any:
    try:
        told = api.ask(f"/_service/{name}/x")
    except OSError:
        return None
    return told if told[0] == 200 else None
