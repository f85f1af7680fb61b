"""The log's copies follow the nodes: one step at a time, never while a copy is behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.errors import Unavailable
from pileus.nodes.beats import Beats, Own
from pileus.nodes.copies import Copies
from pileus.nodes.places import Cluster, Node
from tests.nodes.conftest import ports
from tests.nodes.test_beats import Net


class Servers:
    """JetStream as ``Copies`` uses it: a stream on some of the servers."""

    def __init__(self, leader: str, *others: str) -> None:
        self.leader, self.others = leader, list(others)
        self.behind: set[str] = set()
        self.done: list[str] = []

    def info(self) -> streams.StreamInfo:
        peers = tuple(streams.Peer(n, n not in self.behind, False, 0) for n in self.others)
        count = len(peers) + 1
        return streams.StreamInfo("LOG_0", 0, 0, "", count, 1, 9, 100, self.leader, peers)

    async def newest_of(self, client: Any, shards: int) -> dict[int, streams.StreamInfo]:
        return {0: self.info()}

    async def current(self, client: Any, name: str, replicas: int, seconds: float) -> Any:
        if self.behind:
            raise Unavailable("the copies are not current")

    async def set_replicas(self, client: Any, name: str, replicas: int) -> None:
        self.done.append(f"keep {replicas}")
        while len(self.others) + 1 > replicas:
            self.others.pop()
        self.others += [f"n{10 + i}" for i in range(replicas - len(self.others) - 1)]

    async def remove_peer(self, client: Any, name: str, server: str) -> None:
        self.done.append(f"move from {server}")
        everyone = [self.leader, *self.others]
        everyone[everyone.index(server)] = "n4"
        self.leader, self.others = everyone[0], everyone[1:]

    async def step_down(self, client: Any, name: str) -> None:
        self.done.append(f"{self.leader} steps down")
        self.others.append(self.leader)
        self.leader = self.others.pop(0)

    async def remove_server(self, system: Any, server: str) -> None:
        self.done.append(f"forget {server}")


class Gone(Exception):
    """``end_leave`` was asked for."""


class Shard:
    """A shard's log: what was written to it."""

    def __init__(self) -> None:
        self.written: dict[bytes, bytes] = {}
        self.rows = self

    def row(self, key: bytes) -> bytes | None:
        return self.written.get(key)

    async def ask(self, rule: str, args: list[list[bytes]]) -> None:
        assert rule == "write" and not any(key in self.written for key, _ in args)
        self.written |= {key: value for key, value in args}


class Store:
    def __init__(self, shards: int = 1) -> None:
        self.shards = [Shard() for _ in range(shards)]

    async def transact(self, change: Callable[[Any], Any]) -> None:
        raise Gone


class Members:
    def __init__(self, states: dict[str, str]) -> None:
        nodes = [Node(n, "h", **ports(100 * i)) for i, n in enumerate(states)]
        told = tuple(replace(n, state=states[n.name]) for n in nodes)
        self.cluster = Cluster("c", "n1", told, {}, True)
        self.silent: set[str] = set()

    def lost(self, name: str) -> bool:
        return name in self.silent


class Closed:
    async def close(self) -> None:
        pass


@pytest.fixture
def turned(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    def turn(servers: Servers, net: Net | None = None, lost: str = "", **states: str) -> list[str]:
        for name in ("newest_of", "current", "set_replicas", "remove_peer", "step_down"):
            monkeypatch.setattr(streams, name, getattr(servers, name))
        monkeypatch.setattr(streams, "remove_server", servers.remove_server)

        async def operator() -> Any:
            return Closed()

        network = net or Net()
        if net is None:
            network.run(5)
        members = Members(states)
        members.silent.add(lost)
        copies: Any = Copies(
            Store(),
            None,
            operator,
            members,
            network.nodes["n1"],  # type: ignore[arg-type]
        )
        asyncio.run(copies.turn())
        return servers.done

    return turn


def test_as_many_as_there_are_nodes_up_to_three(turned: Any) -> None:
    assert turned(Servers("n1"), n1="member") == []
    assert turned(Servers("n1"), n1="member", n2="joining") == []
    assert turned(Servers("n1"), n1="member", n2="member") == ["keep 2"]
    assert turned(Servers("n1", "n2"), n1="member", n2="member", n3="member") == ["keep 3"]
    three = Servers("n1", "n2", "n3")
    assert turned(three, n1="member", n2="draining", n3="member", n4="member") == []


def test_nothing_while_a_copy_is_behind(turned: Any) -> None:
    servers = Servers("n1", "n2")
    servers.behind = {"n2"}
    with pytest.raises(Unavailable, match="not current"):
        turned(servers, n1="member", n2="member", n3="member")
    assert servers.done == []


def test_a_leaving_node_gives_its_copy_to_another_before_it_is_gone(turned: Any) -> None:
    states = {"n1": "member", "n2": "leaving", "n3": "member", "n4": "member"}
    servers = Servers("n2", "n1", "n3")
    assert turned(servers, **states) == ["n2 steps down"]
    moved = ["n2 steps down", "move from n2"]
    assert turned(servers, **states) == moved
    net = Net()
    net.run(5)  # its beats say that it has not looked at its blobs
    assert turned(servers, net, **states) == moved
    net.cut |= {("n2", "n1")}  # it is down: what it has not handed over it never will
    net.run(5)
    with pytest.raises(Gone):
        turned(servers, net, **states)


def test_where_there_is_no_other_the_copy_ends_with_its_node(turned: Any) -> None:
    states = {"n1": "member", "n2": "leaving", "n3": "member"}
    servers = Servers("n2", "n1", "n3")
    assert turned(servers, **states) == ["n2 steps down"]
    net = Net()
    net.run(5)
    net.cut |= {("n2", "n1")}
    net.run(8)
    with pytest.raises(Gone):
        turned(servers, net, **states)
    states["n2"] = "gone"
    assert turned(servers, net, **states)[1:] == ["forget n2", "keep 2"]


def test_a_draining_node_leads_no_more(turned: Any) -> None:
    servers = Servers("n2", "n1", "n3")
    assert turned(servers, n1="member", n2="draining", n3="member") == ["n2 steps down"]


def test_the_copy_of_a_node_that_is_silent_for_too_long_is_made_elsewhere(turned: Any) -> None:
    three = {"n1": "member", "n2": "member", "n3": "member"}
    servers = Servers("n1", "n2", "n3")
    assert turned(servers, lost="n2", **three) == []  # there is no other
    net = Net()
    net.nodes["n4"] = Beats("n4", net.clock, lambda: Own(7, []))
    net.run(5)
    four = three | {"n4": "member"}
    assert turned(servers, net, **four) == []
    servers.behind = {"n2", "n3"}
    assert turned(servers, net, lost="n2", **four) == []  # another copy is not whole now
    servers.behind = {"n2"}
    assert turned(servers, net, lost="n2", **four) == ["move from n2"]
    assert turned(servers, net, lost="n2", **four) == ["move from n2"]  # once
