"""A node begins from another one's checkpoint: the newest, whole, also after broken connections."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.nodes.catchup import fetch_checkpoint
from pileus.services import kv
from pileus.state import checkpoint
from pileus.state.database import connect_reader
from pileus.state.opening import open_store
from pileus.state.rebuild import rebuild, wish
from pileus.state.shard import home_of
from pileus.state.store import Store
from pileus.state.verify import verify
from tests.nodes.rig import Broken, Node, Nodes, run


async def filled(node: Node, count: int) -> Store:
    store = await Store.open(node.home, kv.RULES, SystemClock())
    for i in range(count):
        row = os.urandom(20_000)
        await store.transact(lambda draft, i=i, row=row: draft.put(b"t\x00p\x00%d" % i, row))
    return store


def digest(path: Path) -> str:
    connection = connect_reader(path)
    try:
        return checkpoint.rows_digest(connection)
    finally:
        connection.close()


def test_the_newest_comes_and_holds_the_same_rows(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            old, new = await filled(nodes[1], 5), await filled(nodes[2], 20)
            target = nodes[0].home / "fetched.tmp"
            told = await fetch_checkpoint(nodes[0].peers, nodes[0].home, target)
            assert told.sequence == new.replica.applied > old.replica.applied
            assert digest(target) == digest(nodes[2].home / "state.db")
            assert not (nodes[0].home / "incoming").exists()
            # What has come further than any checkpoint is copied anew; what nobody has is refused.
            last = new.replica.applied
            await new.transact(lambda draft: draft.put(b"t\x00p\x00more", b"x"))
            told = await fetch_checkpoint(nodes[0].peers, nodes[0].home, target, last + 1)
            assert told.sequence == last + 1
            with pytest.raises(Unavailable, match="stands at entry"):
                await fetch_checkpoint(nodes[0].peers, nodes[0].home, target, last + 2)
            await old.close()
            await new.close()

    run(body())


def test_each_shard_is_asked_for_by_its_number(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            layout = ((b"", 0), (b"t\x00", 1), (b"t\x01", 0))
            more = {"shards": 2, "layout": layout}
            store = await open_store(nodes[1].home, kv.RULES, SystemClock(), **more)
            for i in range(5):
                await store.transact(lambda draft, i=i: draft.put(b"t\x00p\x00%d" % i, b"x" * 999))
            here, there = home_of(nodes[0].home, 1), home_of(nodes[1].home, 1)
            here.mkdir(parents=True)
            target = here / "fetched.tmp"
            await fetch_checkpoint(nodes[0].peers, here, target, 5, 1)
            assert (
                digest(target) == digest(there / "state.db") != digest(nodes[1].home / "state.db")
            )
            with pytest.raises(Unavailable, match="no state of it"):
                await fetch_checkpoint(nodes[0].peers, here, target, 0, 2)
            await fetch_checkpoint(nodes[0].peers, nodes[0].home, target)
            assert digest(target) == digest(nodes[1].home / "state.db")
            wish(there, "its rows are not believed")
            with pytest.raises(Unavailable, match="no state of it now"):
                await fetch_checkpoint(nodes[0].peers, here, target, 1_000_000, 1)
            await store.close()

    run(body())


def test_it_goes_on_where_it_broke_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pileus.nodes.catchup.PAUSE_S", 0.01)

    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            store = await filled(nodes[1], 60)
            broken = Broken(nodes[1].door.serve, cuts=3, after=100_000)
            await nodes[1].down()
            await nodes[1].up(lambda handler: broken.serve)
            target = nodes[0].home / "fetched.tmp"
            await fetch_checkpoint(nodes[0].peers, nodes[0].home, target)
            ranges = [r for r in broken.asked if r]
            assert ranges == [f"bytes={i * 100_000}-" for i in range(4)]
            assert digest(target) == digest(nodes[1].home / "state.db")
            await store.close()

    run(body())


def test_damaged_bytes_are_not_believed(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            store = await filled(nodes[1], 20)
            made = checkpoint.take(nodes[1].home / "state.db", nodes[1].home / "checkpoints")
            with open(made.path, "rb+") as file:
                file.seek(70_000)
                file.write(b"\xff" * 10)
            target = nodes[0].home / "fetched.tmp"
            with pytest.raises(Unavailable, match="damaged"):
                await fetch_checkpoint(nodes[0].peers, nodes[0].home, target)
            assert not target.exists()
            assert os.listdir(nodes[0].home / "incoming") == []
            await store.close()

    run(body())


def test_a_rebuilt_state_can_be_proved_and_given_on(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            first, second, _ = nodes
            store = await filled(second, 10)
            await store.log.trim(9)  # its log does not go back to the beginning
            old = await filled(first, 3)  # another history: of no use here
            await old.close()

            async def fetch(shard: int, target: Path, at_least: int) -> None:
                await fetch_checkpoint(first.peers, first.home, target, at_least)

            await rebuild(first.home, 0, fetch, 1)
            begun = await Store.open(first.home, kv.RULES, SystemClock())
            await begun.transact(lambda draft: draft.put(b"t\x00p\x00after", b"x"))
            await begun.close()
            report = verify(first.home, kv.RULES)
            assert report.ok and report.base == store.replica.applied, report
            assert report.entries == 1
            await second.down()
            target = nodes[2].home / "fetched.tmp"
            told = await fetch_checkpoint(nodes[2].peers, nodes[2].home, target)
            assert told.sequence == store.replica.applied
            await store.close()

    run(body())
