"""A move of blobs is counted while it goes on, ends when every owner has its own, and is told once
(S7)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus import start_node
from pileus.engine.cluster import blobs_scrub
from pileus.engine.cluster.blobs_moving import Move
from pileus.engine.cluster.blobs_scrub import Scrub
from pileus.engine.cluster.placing import order
from pileus.errors import Unavailable
from tests.nodes.rig import Node, Nodes, run
from tests.nodes.test_blobs import put

COUNT, SIZE = 24, 1000


def content(number: int) -> bytes:
    return random.Random(number).randbytes(SIZE)


class Told:
    """What a node tells of its moves; ``refuse`` times it cannot."""

    def __init__(self, node: Node, named: list[str], kept: list[str], refuse: int = 0) -> None:
        def some(after: str, limit: int) -> list[str]:
            return [d for d in sorted(named) if d > after][:limit]

        self.moves: list[Move] = []
        self._refuse = refuse
        is_named = named.__contains__
        self.scrub = Scrub(node.blobs, some, is_named, spare_s=0.0, moved=self._moved, kept=kept)

    async def _moved(self, move: Move) -> None:
        if self._refuse:
            self._refuse -= 1
            raise OSError("nothing can be written now")
        self.moves.append(move)


async def until(done: Callable[[], object]) -> None:
    async with asyncio.timeout(80):
        while not done():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


def test_a_node_joins_and_one_leaves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blobs_scrub, "TURN_S", 0.05)

    async def body() -> None:
        rig = Nodes(tmp_path, 3)
        async with rig as nodes:
            named = [await put(nodes[i % 3], content(i)) for i in range(COUNT)]
            for node in nodes:
                await node.blobs.settle()
            before = ["n1", "n2", "n3"]
            fourth = await rig.add("n4")
            told = [Told(node, named, before if node is not fourth else []) for node in nodes]
            told[0]._refuse = 2  # tried again
            for each in told:
                await each.scrub.start()
            await until(lambda: all(each.moves for each in told))
            joined = [each.moves[0] for each in told]
            own = sum("n4" in nodes[0].blobs.owners(d) for d in named)
            assert (joined[3].fetched, joined[3].fetched_bytes) == (own, own * SIZE)
            assert sum(m.fetched for m in joined) == own
            assert sum(m.dropped for m in joined) <= own  # the walk over files drops some, or all
            await until(lambda: sum(each.scrub.counts.dropped for each in told) >= own > 0)
            assert all(sum(n.holds(d) for n in nodes) == 3 for d in named)
            assert all(m.ended_ms >= m.since_ms and m.left == 0 for m in joined)
            rig.keepers.remove("n1")
            await until(lambda: all(len(each.moves) == 2 for each in told))
            moved = told[0].moves[1].given + sum(each.moves[1].fetched for each in told[1:])
            assert moved >= sum("n1" in order(d, [*before, "n4"])[:3] for d in named) > 0
            assert all(sum(n.holds(d) for n in nodes[1:]) == 3 for d in named)
            for each in told:
                await each.scrub.stop()
                assert not each.scrub.moving and len(each.moves) == 2

    run(body())


def test_a_node_that_starts_again_moves_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_scrub, "TURN_S", 0.05)

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            named = [await put(nodes[0], content(0))]
            await nodes[0].blobs.settle()
            again = Told(nodes[0], named, ["n1", "n2", "n3"])
            await again.scrub.start()
            await until(lambda: again.scrub.counts.walks)
            await asyncio.sleep(0.2)
            assert again.moves == [] and again.scrub.move is None
            await again.scrub.stop()

    run(body())


def test_what_an_operator_reads() -> None:
    node = {
        **{"name": "n4", "address": "10.0.0.4", "port": 4566, "state": "member", "here": True},
        **{"health": "alive", "since_ms": 0, "applied": 7, "lag": 0, "roles": ["log"]},
    }
    moving = {"since_ms": 1, "left": 12, "bytes": 3_400_000}
    assert start_node.line(node | {"move": moving}).endswith("moving: 12 blobs left, 3.4 MB so far")
    assert "moving" not in start_node.line(node | {"move": None})
    told = {
        **{"node": "n4", "keepers": ["n1", "n2", "n3", "n4"], "since_ms": 1000, "ended_ms": 3500},
        **{"fetched": 9, "fetched_bytes": 2_000_000, "given": 0, "given_bytes": 0, "dropped": 0},
        **{"dropped_bytes": 0, "state_bytes": 1_500_000, "left": 0},
    }
    line = start_node.move_line(told)
    assert line.startswith("  move to n1,n2,n3,n4: n4 fetched the state (1.5 MB), fetched 9 blobs")
    assert line.endswith("after 2.5 s")


def test_blobs_a_full_disk_refused_are_fetched_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blobs_scrub, "TURN_S", 0.05)
    monkeypatch.setattr(blobs_scrub, "SOON_S", 0.1)

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            named: list[str] = []
            full, here = nodes[2], ["n1", "n2", "n3"]

            def some(after: str, limit: int) -> list[str]:
                return [d for d in sorted(named) if d > after][:limit]

            scrub = Scrub(
                full.blobs,
                some,
                named.__contains__,
                kept=here,
                refused=lambda: full.door.refused,
            )
            await scrub.start()
            await until(lambda: scrub.counts.walks)
            with monkeypatch.context() as patch:
                patch.setattr(full.local, "create", _no_room)
                named += [await put(nodes[0], content(i)) for i in range(3)]
                await nodes[0].blobs.settle()
            assert full.door.refused and not any(full.holds(d) for d in named)
            await until(lambda: all(full.holds(d) for d in named))
            await scrub.stop()

    run(body())


def test_blobs_are_looked_for_again_soon_after_a_node_came(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was uploaded before all others knew of it is named after its first look."""
    monkeypatch.setattr(blobs_scrub, "TURN_S", 0.05)
    monkeypatch.setattr(blobs_scrub, "LATE_S", 0.1)

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            came, looks = nodes[2], 0
            with monkeypatch.context() as patch:
                patch.setattr(came.local, "create", _no_room)
                named = [await put(nodes[0], content(i)) for i in range(3)]
                await nodes[0].blobs.settle()

            def some(after: str, limit: int) -> list[str]:
                nonlocal looks
                looks += 1
                return [d for d in sorted(named) if d > after][:limit] if looks > 1 else []

            scrub = Scrub(came.blobs, some, named.__contains__, kept=["n1", "n2", "n3"])
            assert not any(came.holds(d) for d in named)
            await scrub.start()
            await until(lambda: all(came.holds(d) for d in named))
            await scrub.stop()

    run(body())


def _no_room(**_: object) -> None:
    raise Unavailable("no space left on the disk")
