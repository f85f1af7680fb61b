"""Who comes to the entry is sent to a node that lives and has time (E3)."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pileus.nodes.beats import Judgement
from pileus.nodes.busy import Busy, Workers
from pileus.nodes.entry import Entry
from pileus.nodes.members import Members
from pileus.nodes.places import Cluster, Node
from pileus.nodes.standing import Standing
from pileus.services.call import HttpRequest
from pileus.telemetry import Meters


def node(name: str, state: str = "member") -> Node:
    return Node(name, f"10.0.0.{name[1]}", 4566, 8000, 8443, 4567, 4222, 6222, state)


@pytest.fixture
def entry(tmp_path: Path) -> Entry:
    nodes = node("n1"), node("n2"), node("n3"), node("n4", "draining")
    members = Members(tmp_path, Cluster("c", "n1", nodes, {}, True), 600)
    told = {"n1": ("alive", 0.9), "n2": ("alive", 0.2), "n3": ("down", 0.0), "n4": ("alive", 0.0)}
    file = tmp_path / "nodes.json"
    judged = {n: asdict(Judgement(h, 0, 0, (), None, b)) for n, (h, b) in told.items()}
    file.write_text(json.dumps(judged))
    return Entry(members, Standing(members, file))


@pytest.mark.parametrize(
    ("path", "query", "scheme", "place"),
    [
        ("/_entry/page", "a=b", "http", "http://10.0.0.2:8000/page?a=b"),
        ("/_entry", "", "https", "https://10.0.0.2:8443/"),
        ("/page", "", "http", "http://10.0.0.2:8000/page"),  # by the host entry.…
        ("/_entry//evil.example/x", "", "http", "http://10.0.0.2:8000/evil.example/x"),
    ],
)
def test_the_least_busy_that_lives(
    entry: Entry, path: str, query: str, scheme: str, place: str
) -> None:
    asked = HttpRequest("GET", path, query, {})
    asked.scheme = scheme
    told = entry.to_edge(asked)
    assert told.status == 307 and dict(told.headers)["location"] == place


def test_the_api_has_an_entry_too_and_only_reads_are_sent_on(entry: Entry) -> None:
    told = entry.to_api(HttpRequest("HEAD", "/_pileus/entry/_site/b/k", "", {}))
    assert dict(told.headers)["location"] == "http://10.0.0.2:4566/_site/b/k"
    assert entry.to_api(HttpRequest("POST", "/_pileus/entry/", "", {})).status == 405


def test_how_busy_a_machine_is(tmp_path: Path) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            return self.now

    clock: Any = Clock()
    stat = tmp_path / "stat"
    busy = Busy(clock, stat)
    assert busy.share() == 0.0  # nothing to read
    for at, (user, idle), share in ((2, (0, 100), 0.0), (4, (30, 170), 0.3), (4.5, (99, 170), 0.3)):
        clock.now = at
        stat.write_text(f"cpu  {user} 0 0 {idle} 0 0 0 0 0 0\ncpu0 1 2 3\n")
        assert busy.share() == share


def test_how_many_of_a_nodes_workers_are_taken(tmp_path: Path) -> None:
    class Clock:
        now = 0.0

        def monotonic(self) -> float:
            self.now += 2
            return self.now

    workers = Workers(Clock(), tmp_path, 10)
    assert workers.share() == 0.0  # no runtime
    taken = {"busy": 3.0, "idle": 50.0}
    meters = Meters("runtime")
    for state in taken:
        meters.gauge("pileus_runtime_workers", lambda s=state: taken[s], state=state)
    meters.gauge("pileus_runtime_waiting", lambda: 1.0)
    meters.open(tmp_path)
    assert workers.share() == 0.4
    taken["busy"] = 40
    meters.publish()
    assert workers.share() == 1.0
    meters.close()
    assert workers.share() == 0.0
