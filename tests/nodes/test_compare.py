"""Nodes at different entries are compared at one; a row that differs is found."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from pileus.engine.embedded.clock import SystemClock
from pileus.nodes.compare import PATH, Digests, compare
from pileus.services import kv
from pileus.state import pages
from pileus.state.database import PAGE_BYTES, connect
from pileus.state.store import Store
from tests.nodes.rig import Node, Nodes, run


async def opened(node: Node) -> Store:
    store = await Store.open(node.home, kv.RULES, SystemClock())
    node.door.mount(PATH, Digests(store, kv.RULES).serve)
    return store


async def follow(leader: Store, store: Store) -> None:
    """What a cluster's log does: the same entries, in other groups."""
    for entry in await leader.log.read(store.replica.applied, 10_000):
        await store.log.append(entry.data)  # type: ignore[union-attr]


def test_nodes_are_compared_at_one_entry_while_they_are_written_to(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            leader = await opened(nodes[0])
            for node in nodes[1:]:  # from the leader's very first entry on
                first = await Store.open(node.home, kv.RULES, SystemClock())
                await first.close()
                for name in ("state.db", "state.db-wal", "state.db-shm"):
                    (node.home / name).unlink(missing_ok=True)
                pages.copy(
                    nodes[0].home / "state.db", node.home / "state.db", PAGE_BYTES, checksums=True
                )
            others = [await opened(node) for node in nodes[1:]]
            stopped = False

            async def write() -> None:
                i = 0
                while not stopped:
                    i += 1
                    value = os.urandom(100)
                    await leader.transact(
                        lambda draft, i=i, v=value: draft.put(b"t\x00p\x00%d" % (i % 50), v)
                    )

            async def keep_up(store: Store, every_s: float) -> None:
                while not stopped:
                    await asyncio.sleep(every_s)
                    await follow(leader, store)

            work = [asyncio.ensure_future(write())]
            work += [
                asyncio.ensure_future(keep_up(s, t))
                for s, t in zip(others, (0.05, 0.3), strict=True)
            ]
            async with asyncio.timeout(80):
                while min(s.replica.applied for s in (leader, *others)) < 5:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            found = [await compare(node.peers) for node in nodes]
            for result in found:
                assert len(result.digests) == 2 and not result.problems, result
                assert result.sequence > 1
            # One node's state is changed behind its back: every comparison with it says so.
            connection = connect(nodes[2].home / "state.db")
            connection.execute("INSERT INTO rows(k, v, ver) VALUES(X'7A007A007A', X'78', 1)")
            connection.close()
            result = await compare(nodes[0].peers)
            assert "differ" in result.problems[0] and "n3" in result.problems[0]
            await nodes[1].down()
            result = await compare(nodes[0].peers)
            assert list(result.unasked) == ["n2"] and list(result.digests) == ["n3"]
            stopped = True
            await asyncio.gather(*work)
            for node in nodes:
                left = node.home / "comparing"
                assert not left.exists() or os.listdir(left) == []
            for store in (leader, *others):
                await store.close()

    run(body())


def test_a_state_file_that_cannot_be_read_whole_is_told(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            store = await Store.open(nodes[1].home, kv.RULES, SystemClock())
            said: list[tuple[str, int]] = []
            nodes[1].door.mount(
                PATH, Digests(store, kv.RULES, lambda *told: said.append(told)).serve
            )
            for i in range(60):
                await store.transact(lambda draft, i=i: draft.put(b"t\0p\0%d" % i, bytes(2000)))
            connection = connect(nodes[1].home / "state.db")
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            with open(nodes[1].home / "state.db", "r+b") as file:
                file.seek(4096)
                file.write(os.urandom(60_000))
            result = await compare(nodes[0].peers)
            assert "damaged" in result.unasked["n2"] and [shard for _, shard in said] == [0]
            await store.close()

    run(body())
