"""Metrics of all nodes at any node: series with their node's name, one text for Prometheus (L3)."""

from __future__ import annotations

import asyncio
import json
import re
import time
from pathlib import Path
from typing import Any

import pytest

from pileus.services.metrics.everywhere import Everywhere
from pileus.telemetry import collect, rings
from pileus.telemetry.catalogue import METRICS
from tests.telemetry.neighbours import Neighbours

TEXT = """# HELP pileus_state_tablets Tablets in the map.
# TYPE pileus_state_tablets gauge
pileus_state_tablets {n}
# HELP pileus_nodes Nodes.
# TYPE pileus_nodes gauge
pileus_nodes{{health="alive"}} 3
"""


class Three:
    def __init__(self, base: Path) -> None:
        self.others: list[Neighbours] = []
        self.each = []
        self.rings: list[tuple[rings.Ring, dict[str, float]]] = []
        for number in (1, 2, 3):
            home = base / f"n{number}"
            ring = rings.Ring(collect.seconds_folder(home), 1, 3600)
            ring.open()
            own = {f"only_{number}": 1.0} if number == 2 else {}
            self.rings.append((ring, {"requests_per_second": 10.0 * number, **own}))
            text = TEXT.format(n=number)
            self.each.append(Everywhere(home, Neighbours(number, self.others), lambda t=text: t))  # type: ignore[misc]
        self.measure()
        self.span = {"from": [str(self.now - 5)], "to": [str(self.now + 1)]}

    def measure(self) -> None:
        """The second it is now."""
        self.now = int(time.time())
        for ring, values in self.rings:
            ring.append(self.now, values)

    def ask(self, at: int, **query: list[str]) -> Any:
        return asyncio.run(self.each[at].series(query))


@pytest.fixture
def three(tmp_path: Path) -> Three:
    return Three(tmp_path)


def test_each_series_tells_its_node(three: Three) -> None:
    told = three.ask(1, node=["all"], name=["requests_per_second"], **three.span)
    assert told["missing"] == {}
    assert [s["labels"]["node"] for s in told["series"]] == ["n1", "n2", "n3"]
    assert told["series"][2]["name"] == "requests_per_second{node=n3}"
    at = told["times"].index(three.now)
    assert [s["values"][at] for s in told["series"]] == [10.0, 20.0, 30.0]


def test_some_nodes_and_series_that_few_have(three: Three) -> None:
    told = three.ask(0, node=["n2", "n3"], name=["only_2"])
    assert [s["name"] for s in told["series"]] == ["only_2{node=n2}"]
    listed = three.ask(0, node=["all"])["series"]
    assert len([s for s in listed if s["metric"] == "requests_per_second"]) == 3
    with pytest.raises(ValueError, match="no node is called 'n7'"):
        three.ask(0, node=["n7"], name=["only_2"])


def test_the_newest_second_of_all(three: Three) -> None:
    three.others[2].down = True
    for _ in range(10):  # what is newest is newest for a few seconds
        three.measure()
        told = three.ask(0, node=["all"], newest=["1"])
        if told["nodes"]["n2"]["values"]:
            break
    assert told["nodes"]["n2"]["values"]["requests_per_second"] == 20.0
    assert told["missing"] == {"n3": "it is down"}


def test_the_dashboard_asks_for_metrics_there_are() -> None:
    dashboard = Path(__file__).resolve().parents[3] / "deploy" / "grafana" / "pileus.json"
    asked = [t["expr"] for p in json.loads(dashboard.read_text())["panels"] for t in p["targets"]]
    names = {n for expr in asked for n in re.findall(r"\bpileus_\w+", expr)}
    histograms = {n for n, m in METRICS.items() if m.kind == "histogram"}
    assert len(names) > 15
    assert {n for n in names if n.removesuffix("_bucket") not in histograms} <= METRICS.keys()


def test_prometheus_reads_families_together(three: Three) -> None:
    three.others[0].down = True
    lines = asyncio.run(three.each[1].text(["all"])).splitlines()
    assert [line for line in lines if line.startswith("pileus_state")] == [
        'pileus_state_tablets{node="n2"} 2',
        'pileus_state_tablets{node="n3"} 3',
    ]
    assert 'pileus_nodes{node="n2",health="alive"} 3' in lines
    assert len([line for line in lines if line.startswith("# TYPE pileus_nodes ")]) == 1
    assert 'pileus_node_up{node="n1"} 0' in lines and 'pileus_node_up{node="n3"} 1' in lines
