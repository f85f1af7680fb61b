"""Who is alive: one's own silence forgiven, one link's silence not enough to be held dead."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec

from pileus.nodes.agreeing import Agreeing
from pileus.nodes.beats import BEAT_S, DOWN_S, Beats, Own, run, view
from pileus.state import versions
from tests.beds import TurnedClock

NAMES = ["n1", "n2", "n3"]


class Net:
    """Three nodes whose beats travel over links that may be cut; a frozen node stands still."""

    def __init__(self) -> None:
        self.clock = TurnedClock()
        self.nodes = {n: Beats(n, self.clock, lambda: Own(7, [])) for n in NAMES}
        self.cut: set[tuple[str, str]] = set()
        self.frozen: set[str] = set()

    def run(self, seconds: float) -> None:
        for _ in range(int(seconds / BEAT_S)):
            self.clock.ms += int(BEAT_S * 1000)
            for name, node in self.nodes.items():
                if name not in self.frozen:
                    node.tick()
                    self._send(name, node.beat())

    def _send(self, sender: str, data: bytes) -> None:
        for name, node in self.nodes.items():
            if name not in self.frozen and (sender, name) not in self.cut:
                node.received(data)

    def health(self, judge: str, name: str) -> str:
        return self.nodes[judge].judged(NAMES)[name].health


def test_a_silent_node_is_slow_then_down_since_its_last_beat() -> None:
    net = Net()
    net.run(5)
    assert net.health("n1", "n3") == "alive"
    last_ms = net.clock.ms
    net.frozen.add("n3")
    net.run(1.5)
    assert net.health("n1", "n3") == "slow"
    net.run(2)
    assert net.health("n1", "n3") == "down"
    assert net.nodes["n1"].judged(NAMES)["n3"].since_ms == last_ms
    net.frozen.clear()
    net.run(1)
    assert net.health("n1", "n3") == "alive"


def test_more_than_half_must_miss_a_node_before_it_is_held_dead() -> None:
    net = Net()
    net.run(5)
    net.cut |= {("n1", "n2"), ("n2", "n1")}  # one link only: n3 hears both
    net.run(10)
    assert net.health("n1", "n2") == "down"
    assert not net.nodes["n1"].held_dead("n2", NAMES)
    assert net.nodes["n1"].among_most(NAMES)
    net.cut |= {("n2", "n3"), ("n3", "n2")}
    net.run(5)
    assert net.nodes["n1"].held_dead("n2", NAMES) and net.nodes["n3"].held_dead("n2", NAMES)
    assert not net.nodes["n2"].held_dead("n1", NAMES), "the one that is alone holds nobody dead"
    assert not net.nodes["n2"].among_most(NAMES)


def test_who_stood_still_himself_does_not_hold_the_others_dead() -> None:
    net = Net()
    net.run(5)
    net.frozen.add("n1")
    net.run(30)
    net.frozen.clear()
    net.run(BEAT_S)
    assert net.health("n1", "n2") == "alive"
    assert net.nodes["n1"].among_most(NAMES)


def test_a_node_never_heard_is_down_after_a_moment_and_rubbish_is_no_beat() -> None:
    net = Net()
    alone = net.nodes["n1"]
    alone.received(b"{")
    alone.received(b'{"name": 3}')
    assert alone.judged(NAMES)["n2"].health == "slow"
    net.clock.ms += int(DOWN_S * 1000)
    assert alone.judged(NAMES)["n2"].health == "down"
    assert alone.judged(NAMES)["n1"].health == "alive"


def test_a_view_that_cannot_be_written_ends_no_beats(tmp_path: Path) -> None:
    """A full disk; here a folder stands where the file goes."""
    told, clock, sent = tmp_path / "nodes.json", TurnedClock(), list[bytes]()

    async def send(beat: bytes) -> None:
        sent.append(beat)

    async def beaten() -> None:
        beating = asyncio.create_task(
            run(Beats("n1", clock, lambda: Own(7, [])), clock, send, lambda: ["n1"], told)
        )
        told.with_suffix(".new").mkdir()
        await clock.advance(3)
        assert len(sent) > 3 and view(told) == {}
        told.with_suffix(".new").rmdir()
        await clock.advance(1)
        assert view(told)["n1"].health == "alive"
        beating.cancel()

    asyncio.run(beaten())


def test_new_rules_wait_for_every_node() -> None:
    """One that is down may be of any release; one of an older release does not tell."""

    async def body() -> None:
        net = Net()
        known = dict.fromkeys(NAMES, 2)
        for name in NAMES:
            net.nodes[name] = Beats(name, net.clock, lambda n=name: Own(7, [], rules=known[n]))
        in_force: list[Any] = []

        class Shard:
            """Its rows hold the versions that were switched to."""

            def __init__(self, number: int) -> None:
                self.number, self.rows = number, self
                self.switched = [(1, 1)]

            def row(self, key: bytes) -> Any:
                assert key == versions.KEY
                return SimpleNamespace(value=msgspec.msgpack.encode(self.switched))

            async def ask(self, rule: str, version: int) -> None:
                in_force.append((self.number, rule, version))
                self.switched.append((version, 9))

        class Store:
            shards = (Shard(0), Shard(1))

            async def submit(self, rule: str, version: int) -> None:
                await self.shards[0].ask(rule, version)

        members: Any = SimpleNamespace(names=lambda: NAMES)
        agreeing = Agreeing(Store(), members, net.nodes["n1"], 2)
        assert not await agreeing.turn()  # nobody is heard yet
        known["n3"] = 0
        net.run(5)
        assert not await agreeing.turn()
        known["n3"] = 2
        net.frozen.add("n2")
        net.run(5)
        assert not await agreeing.turn()
        net.frozen.clear()
        net.run(5)
        assert await agreeing.turn() and not await agreeing.turn()
        assert in_force == [(0, "rules.switch", 2), (1, "rules.switch", 2)]
        del Store.shards[1].switched[1:]  # as if this node had ended between the two
        assert await agreeing.turn() and in_force[2:] == [(1, "rules.switch", 2)]

    asyncio.run(body())
