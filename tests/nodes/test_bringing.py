"""A backup of one node holds the blobs that only others keep."""

from __future__ import annotations

import asyncio
import os
from functools import partial
from pathlib import Path

from pileus.engine.embedded.clock import SystemClock
from pileus.nodes import places
from pileus.nodes.bringing import bring
from pileus.services import kv
from pileus.state import keys
from pileus.state.backup import backup, restore
from pileus.state.store import Store
from tests.nodes.rig import Node, Nodes, run


def as_member(node: Node, others: list[Node]) -> None:
    """What a home tells of its cluster."""
    told = [
        places.Node(n.name, "127.0.0.1", 1, 2, 3, n.places[n.name].port, 4, 5)
        for n in (node, *others)
    ]
    places.save(node.home, places.Cluster("c", node.name, tuple(told), {}, True))


def test_a_backup_brings_what_other_nodes_keep(tmp_path: Path) -> None:
    async def body() -> None:
        async with Nodes(tmp_path, 2) as nodes:
            first, second = nodes
            data = os.urandom(300_000)
            digest = await first.blobs.put(data)
            store = await Store.open(first.home, kv.RULES, SystemClock())
            name = keys.key("blobrefs", digest, b"owner")
            await store.transact(lambda draft: draft.put(name, b""))
            os.unlink(first.local.path(digest))
            assert second.holds(digest)
            as_member(first, [second])
            # As a command does: in a process, so here in a thread, without a loop.
            copy = partial(backup, first.home, tmp_path / "backup", bring=bring)
            assert (await asyncio.to_thread(copy)).blobs == 1
            await store.close()
            back = tmp_path / "back"
            restore(tmp_path / "backup", back, kv.RULES)
            assert (back / "blobs" / digest[:2] / digest).read_bytes() == data

    run(body())
