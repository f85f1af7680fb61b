"""The work for all runs on one node, and passes on when that one dies, drains or is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.hub.lease import Lease
from pileus.nodes import background, membership
from pileus.nodes.background import Background
from pileus.nodes.places import Cluster, Node
from tests.hub.conftest import World
from tests.nodes.conftest import ports
from tests.nodes.test_beats import NAMES, Net

Run = Callable[[Any], None]


class Several:
    """Three nodes over one state (as if each replica were current), with a net between."""

    def __init__(self, world: World) -> None:
        self.world, self.net = world, Net()
        self.works: dict[str, int] = dict.fromkeys(NAMES, 0)
        self.parts = {
            name: Background(
                world.store, world.clock, name, beats, self._count(name, 1), self._count(name, -1)
            )
            for name, beats in self.net.nodes.items()
        }

    def _count(self, name: str, by: int) -> Any:
        async def step() -> None:
            self.works[name] += by

        return step

    async def found(self) -> Several:
        def rows(draft: Any) -> None:
            nodes = [Node(n, "127.0.0.1", **ports(100 * i)) for i, n in enumerate(NAMES, 1)]
            membership.found(draft, Cluster("c", "n1", tuple(nodes), {}, True))
            for node in nodes:
                told = {**node.__dict__, "since_ms": 0}
                draft.put_json(membership.node_key(node.name), told)

        await self.world.store.transact(rows)
        return self

    async def run(self, seconds: float) -> None:
        for _ in range(int(seconds / 0.5)):
            self.net.run(0.5)
            for name, part in self.parts.items():
                if name not in self.net.frozen:
                    await part.turn()

    @property
    def working(self) -> list[str]:
        assert set(self.works.values()) <= {0, 1}
        return [name for name, count in self.works.items() if count]


def test_one_does_it_and_the_next_when_that_one_is_frozen(run: Run) -> None:
    async def body(world: World) -> None:
        several = await Several(world).found()
        await several.run(3)
        assert several.working == ["n1"]
        assert await Lease(world.store, world.clock, "topic/c", "n1").hold()
        several.net.frozen.add("n1")
        await several.run(4)
        assert several.working == ["n1", "n2"], "the frozen one cannot stop itself"
        assert background.holder(world.store) == "n2"
        assert await Lease(world.store, world.clock, "topic/c", "n2").hold(), "at once"
        several.net.frozen.clear()
        await several.run(1)
        assert several.working == ["n2"]

    run(body)


def test_a_node_that_is_cut_off_stops_and_one_cut_link_changes_nothing(run: Run) -> None:
    async def body(world: World) -> None:
        several = await Several(world).found()
        await several.run(3)
        several.net.cut = {("n1", "n2"), ("n2", "n1")}
        before = world.store.get(background.KEY)
        await several.run(10)
        assert several.working == ["n1"] and world.store.get(background.KEY) == before
        several.net.cut |= {("n1", "n3"), ("n3", "n1")}
        await several.run(5)
        assert several.working == ["n2"]
        several.net.cut.clear()
        await several.run(3)
        assert several.working == ["n2"]

    run(body)


def test_a_drained_node_hands_over_and_nobody_writes_while_all_is_well(run: Run) -> None:
    async def body(world: World) -> None:
        several = await Several(world).found()
        await several.run(3)
        await world.store.transact(lambda draft: membership.drain(draft, "n1"))
        await several.run(1.5)
        assert several.working == ["n2"]
        applied = world.store.replica.applied
        await several.run(5)
        assert world.store.replica.applied == applied
        await world.store.transact(lambda draft: membership.drain(draft, "n1", undo=True))
        await several.run(1)
        assert several.working == ["n2"], "it does not go back by itself"
        await several.parts["n2"].stop()
        assert several.working == []
        assert background.holder(world.store) == ""

    run(body)
