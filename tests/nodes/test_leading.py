"""The logs of several shards: copies follow the nodes, and who leads and keeps them is evened out,
gently."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.config import Config
from pileus.engine.cluster import streams
from pileus.engine.cluster.streams import Peer, StreamInfo
from pileus.errors import Unavailable
from pileus.nodes import leading, operating
from pileus.nodes.beats import Beats, Own
from pileus.nodes.copies import MOVING_MAX, Copies
from pileus.nodes.own_logs import OwnLogs
from pileus.state import removed
from tests.beds import TurnedClock
from tests.nodes.test_beats import Net
from tests.nodes.test_copies import Closed, Gone, Members, Shard, Store

SHARDS = 8
FAR = 5000  # messages that a copy lacks


class ManyServers:
    """JetStream with a stream for each shard; a copy that is made is current one look later."""

    def __init__(self, *servers: str) -> None:
        self.servers = list(servers)
        self.kept = {number: [servers[0]] for number in range(SHARDS)}  # its leader first
        self.fresh: set[tuple[int, str]] = set()
        self.writes = False  # at each moment a copy of each log is a message behind
        self.down: set[str] = set()
        self.rng = random.Random(1)
        self.done: list[str] = []
        self.most_moving = 0
        self.choose: Any = min  # who gets a copy, by how many it keeps
        self.refusals = 0  # to come

    def info(self, number: int) -> StreamInfo:
        leader, *others = self.kept[number]
        lags = {n: FAR for n in others if (number, n) in self.fresh or n in self.down}
        if self.writes:
            lags = {self.rng.choice(others): 1, **lags}
        peers = tuple(Peer(n, n not in lags, n in self.down, lags.get(n, 0)) for n in others)
        wanted = len(self.kept[number])
        return StreamInfo(f"LOG_{number}", 0, 0, "", wanted, 1, 9, 9, leader, peers)

    async def newest_of(self, client: Any, shards: int) -> dict[int, StreamInfo]:
        told = {number: self.info(number) for number in range(shards)}
        self.most_moving = max(self.most_moving, len({number for number, _ in self.fresh}))
        self.fresh.clear()
        return told

    async def current(self, client: Any, name: str, replicas: int, seconds: float) -> None:
        if not leading.whole(self.info(streams.shard_of(name))):
            raise Unavailable("the copies are not current")

    async def set_replicas(self, client: Any, name: str, replicas: int) -> None:
        number = streams.shard_of(name)
        while len(self.kept[number]) < replicas:
            self._add(number)
        del self.kept[number][replicas:]

    async def remove_peer(self, client: Any, name: str, server: str) -> None:
        if self.refusals:
            self.refusals -= 1
            raise Unavailable("a server is new")
        self.done.append(f"{name} moves from {server}")
        number = streams.shard_of(name)
        self._add(number)
        self.kept[number].remove(server)

    def _add(self, number: int) -> None:
        count = Counter(n for kept in self.kept.values() for n in kept)
        free = [n for n in self.servers if n not in self.kept[number] and n not in self.down]
        self.kept[number].append(self.choose(free, key=lambda n: count[n]))
        self.fresh.add((number, self.kept[number][-1]))

    async def step_down(self, client: Any, name: str, prefer: str = "") -> None:
        kept = self.kept[streams.shard_of(name)]
        to = prefer or kept[1]
        assert to in kept[1:]
        self.done.append(f"{to} leads {name}")
        kept.remove(to)
        kept.insert(0, to)

    def leads(self) -> Counter[str]:
        return Counter(kept[0] for kept in self.kept.values())

    def copies(self) -> Counter[str]:
        return Counter(n for kept in self.kept.values() for n in kept)


class Cloud:
    """Nodes n1, n2, … of which n1 turns ``Copies``."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, servers: ManyServers) -> None:
        for name in ("newest_of", "current", "set_replicas", "remove_peer", "step_down"):
            monkeypatch.setattr(streams, name, getattr(servers, name))
        self.servers = servers
        self.clock = TurnedClock()
        self.net = Net()
        self.net.nodes["n4"] = Beats("n4", self.net.clock, lambda: Own(7, []))
        self.net.run(5)
        self.members = Members({})
        store: Any = Store(SHARDS)
        self.shards: list[Shard] = store.shards
        seen: Any = self.members
        no_client: Any = None

        async def operator() -> Any:
            return Closed()

        beats = self.net.nodes["n1"]
        self.copies = Copies(store, no_client, operator, seen, beats, self.clock.monotonic)

    def states(self, **states: str) -> None:
        self.members.cluster = Members(states).cluster

    def turn(self, seconds: float = 0.5) -> None:
        self.clock.ms += int(seconds * 1000)
        asyncio.run(self.copies.turn())

    def turns(self, count: int, seconds: float = 0.5) -> None:
        async def all_of_them() -> None:
            for _ in range(count):
                self.clock.ms += int(seconds * 1000)
                await self.copies.turn()

        asyncio.run(all_of_them())


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    made = Cloud(monkeypatch, ManyServers("n1", "n2", "n3"))
    made.states(n1="member", n2="member", n3="member")
    yield made


def even(count: Counter[str], *names: str) -> bool:
    held = [count[name] for name in names]
    return max(held) - min(held) <= 1


def test_every_log_gets_three_copies_and_two_at_most_are_made_at_a_time(cloud: Cloud) -> None:
    cloud.turns(2 * SHARDS)
    assert cloud.servers.copies() == {"n1": SHARDS, "n2": SHARDS, "n3": SHARDS}
    assert cloud.servers.most_moving == MOVING_MAX


def test_leaders_are_evened_out_one_at_a_time_when_all_has_been_whole_for_a_while(
    cloud: Cloud,
) -> None:
    cloud.turns(2 * SHARDS)
    began = cloud.clock.monotonic()
    assert cloud.servers.leads() == {"n1": SHARDS}
    while cloud.clock.monotonic() < began + leading.SETTLED_S - 5:
        cloud.turn()
    assert cloud.servers.done == [], "not in the first seconds"
    while cloud.clock.monotonic() < began + leading.SETTLED_S + 60:
        before = len(cloud.servers.done)
        cloud.turn()
        assert len(cloud.servers.done) <= before + 1
    assert even(cloud.servers.leads(), "n1", "n2", "n3")
    assert len(cloud.servers.done) == 5, cloud.servers.done


def test_leaders_are_evened_out_while_there_are_writes(cloud: Cloud) -> None:
    cloud.turns(2 * SHARDS)
    cloud.servers.writes = True
    cloud.turns(200)
    assert even(cloud.servers.leads(), "n1", "n2", "n3")


def test_nothing_is_evened_out_while_the_cluster_is_not_whole(cloud: Cloud) -> None:
    cloud.turns(2 * SHARDS)
    cloud.states(n1="member", n2="member", n3="draining")
    cloud.turns(40, leading.STEP_S)
    cloud.states(n1="member", n2="member", n3="member")
    cloud.servers.down = {"n3"}
    cloud.turns(40, leading.STEP_S)
    assert cloud.servers.leads() == {"n1": SHARDS}
    cloud.servers.down = set()
    cloud.turns(2)
    assert cloud.servers.leads() == {"n1": SHARDS}, "whole for a moment only"


def test_a_fourth_node_gets_its_share_and_a_leaving_ones_copies_all_go_first(cloud: Cloud) -> None:
    names = ("n1", "n2", "n3", "n4")
    cloud.turns(40, leading.STEP_S)
    cloud.servers.servers.append("n4")
    cloud.states(**dict.fromkeys(names, "member"))
    cloud.turns(60, leading.STEP_S)
    assert cloud.servers.copies() == dict.fromkeys(names, 6)
    assert even(cloud.servers.leads(), *names)
    cloud.states(n1="member", n2="leaving", n3="member", n4="member")
    cloud.net.cut |= {("n2", "n1")}  # what it has not handed over it never will
    cloud.net.run(5)
    with pytest.raises(Gone):
        cloud.turns(100)
    told = [list(shard.written) for shard in cloud.shards]
    assert told == [[], *[[removed.key("n2")]] * (SHARDS - 1)], "before the first shard's last word"
    assert "n2" not in cloud.servers.copies()
    assert all(len(kept) == 3 for kept in cloud.servers.kept.values())


def join(cloud: Cloud, *names: str) -> None:
    """The last of ``names`` is new."""
    cloud.servers.servers.append(names[-1])
    cloud.net.nodes.setdefault(names[-1], Beats(names[-1], cloud.net.clock, lambda: Own(7, [])))
    cloud.net.run(5)
    cloud.states(**dict.fromkeys(names, "member"))
    cloud.turns(80, leading.STEP_S)


def test_each_further_node_gets_its_share_of_leads_and_copies(cloud: Cloud) -> None:
    names = ["n1", "n2", "n3"]
    cloud.turns(40, leading.STEP_S)
    for number in range(4, 9):
        names.append(f"n{number}")
        join(cloud, *names)
        assert even(cloud.servers.copies(), *names), cloud.servers.copies()
        leads = [cloud.servers.leads()[name] for name in names]
        assert max(leads) - min(leads) <= 2, "who has no copy of a log cannot lead it"
        moved = len(cloud.servers.done)
        cloud.turns(80, leading.STEP_S)
        assert len(cloud.servers.done) == moved, "even: nothing moves any more"


def test_servers_that_put_copies_elsewhere_are_left_alone_for_a_while(cloud: Cloud) -> None:
    """Or until a node comes or goes."""
    names = ["n1", "n2", "n3", "n4"]
    cloud.turns(40, leading.STEP_S)
    join(cloud, *names)
    cloud.servers.choose = max
    names.append("n5")
    join(cloud, *names)
    tried = len(cloud.servers.done)
    cloud.turns(200, leading.STEP_S)
    assert len(cloud.servers.done) == tried
    cloud.turns(1, leading.REST_S)
    assert len(cloud.servers.done) == tried + 1
    cloud.turns(200, leading.STEP_S)
    cloud.states(**{**dict.fromkeys(names, "member"), "n4": "draining"})
    cloud.turns(4, leading.STEP_S)
    cloud.servers.choose = min
    cloud.states(**dict.fromkeys(names, "member"))
    cloud.turns(80, leading.STEP_S)
    assert even(cloud.servers.copies(), *names), cloud.servers.copies()


def test_a_move_that_is_refused_is_not_taken_for_one_in_vain(cloud: Cloud) -> None:
    names = ["n1", "n2", "n3", "n4"]
    cloud.turns(40, leading.STEP_S)
    cloud.servers.refusals = refusals = 2 * leading.IN_VAIN_MAX
    for _ in range(refusals):
        with pytest.raises(Unavailable):
            join(cloud, *names)
        cloud.servers.servers.pop()
    join(cloud, *names)
    assert cloud.servers.copies() == dict.fromkeys(names, 6)


def own_logs(cloud: Cloud, home: Path, name: str) -> OwnLogs:
    """A node's part, by what the servers tell."""
    cloud.members.name = name  # type: ignore[attr-defined]
    shards: Any = [SimpleNamespace(log=SimpleNamespace(seen=str)) for _ in range(SHARDS)]
    members: Any = cloud.members
    no_client: Any = None
    return OwnLogs(Config(home=home), members, shards, no_client, cloud.clock)


def test_a_copy_that_was_whole_stays_whole_while_it_is_near_and_grows(
    cloud: Cloud, tmp_path: Path
) -> None:
    own = own_logs(cloud, tmp_path, "n2")

    def copies(current: bool, lag: int, last: int) -> tuple[int, int]:
        peers = (Peer("n2", current, False, lag), Peer("n3", True, False, 0))
        told = {"leader": "n1", "peers": peers, "last": last}
        logs = {n: replace(cloud.servers.info(n), **told) for n in range(SHARDS)}
        asyncio.run(own.look(logs))
        assert own.led is not None
        return own.led[:2]

    assert copies(False, 3, 10) == copies(False, 3, 20) == (0, 0), "it was never whole"
    assert copies(True, 0, 30) == copies(False, 3, 40) == copies(False, 5, 50) == (0, SHARDS)
    assert copies(False, 6, 51) == (0, 0), "it stands still"
    assert own.roles == []
    assert copies(True, 0, 60) == (0, SHARDS)
    assert copies(False, FAR, 60 + 2 * FAR) == (0, 0)


def test_every_node_can_tell_who_leads_which_log(cloud: Cloud, tmp_path: Path) -> None:
    """By the servers' word, a beat, and ``/_pileus/nodes``."""
    cloud.turns(100)
    names = ("n1", "n2", "n3")
    seen = {}
    for name in names:
        own = own_logs(cloud, tmp_path, name)
        asyncio.run(own.look({n: cloud.servers.info(n) for n in range(SHARDS)}))
        assert own.led is not None and own.led[0] == len(own.leading)
        told = Own(7, own.roles, logs=own.led, leading=own.leading)
        cloud.net.nodes[name] = Beats(name, cloud.net.clock, lambda told=told: told)
    cloud.net.run(3)
    for name, judged in cloud.net.nodes["n1"].judged(names).items():
        seen[name] = operating._logs(judged)["logs"]["leading"]
    led = {name: [n for n, kept in cloud.servers.kept.items() if kept[0] == name] for name in names}
    assert seen == led and all(led.values())


def test_one_that_was_let_in_and_never_came_is_refused_in_every_shard(cloud: Cloud) -> None:
    """It is gone by the first shard's word, which it may not have heard while it is asked to write
    to another."""
    cloud.states(n1="member", n2="member", n3="gone")
    cloud.turns(2)
    told = [list(shard.written) for shard in cloud.shards]
    assert told == [[], *[[removed.key("n3")]] * (SHARDS - 1)]


def test_the_copies_of_a_lost_node_are_made_on_the_fourth(cloud: Cloud) -> None:
    cloud.turns(40, leading.STEP_S)
    cloud.servers.servers.append("n4")
    cloud.states(n1="member", n2="member", n3="member", n4="member")
    cloud.net.cut |= {("n2", "n1"), ("n2", "n3"), ("n2", "n4")}
    cloud.net.run(5)
    cloud.servers.down = {"n2"}
    for number, kept in cloud.servers.kept.items():  # who is dead leads no more
        if kept[0] == "n2":
            asyncio.run(cloud.servers.step_down(None, f"LOG_{number}"))
    cloud.turns(20)
    assert cloud.servers.copies()["n2"] == SHARDS, "it may come back"
    cloud.members.silent.add("n2")
    cloud.servers.most_moving = 0
    cloud.turns(20)
    assert cloud.servers.copies() == {"n1": SHARDS, "n3": SHARDS, "n4": SHARDS}
    assert cloud.servers.most_moving == MOVING_MAX


def test_a_draining_node_gives_each_lead_to_who_leads_fewest(cloud: Cloud) -> None:
    cloud.turns(40, leading.STEP_S)
    cloud.states(n1="draining", n2="member", n3="member")
    cloud.turns(4)
    assert cloud.servers.leads() == {"n2": 4, "n3": 4}


def test_who_will_not_lead_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    async def refuse(client: Any, name: str, prefer: str = "") -> None:
        asked.append(prefer)
        if prefer:
            raise streams.ApiError(10189, "preferred server is not a member")

    monkeypatch.setattr(streams, "step_down", refuse)
    found = StreamInfo("LOG_1", 0, 0, "", 2, 1, 9, 9, "n1", (Peer("n2", True, False, 0),))
    other = replace(found, name="LOG_0")
    client: Any = None
    asyncio.run(leading.step_down(client, {0: other, 1: found}, found, ["n1", "n2"]))
    assert asked == ["n2", ""]
    asyncio.run(leading.step_down(client, {0: found}, found, ["n1", "n2"]))
    assert asked[2:] == [""], "of one log the servers choose"
