"""Commands of one node, and the blobs that only others keep."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from pileus.engine.embedded.clock import SystemClock
from pileus.nodes import places
from pileus.nodes.bringing import bring, held
from pileus.services import kv
from pileus.state import keys
from pileus.state.backup import backup, restore
from pileus.state.store import Store
from pileus.state.verify import Held, verify
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


def test_verify_tells_a_blob_that_is_late_here_from_one_that_is_lost(tmp_path: Path) -> None:
    """The upgrade of a cluster, node by node, found two copies enough to name a blob, and `verify`
    on the third node called it missing: restore a backup, it said, where nothing was lost."""

    async def body() -> None:
        async with Nodes(tmp_path, 3) as nodes:
            first, second, third = nodes
            as_member(first, [second, third])
            late, lost = [await first.blobs.put(os.urandom(300_000)) for _ in range(2)]
            store = await Store.open(first.home, kv.RULES, SystemClock())
            for digest in (late, lost):
                name = keys.key("blobrefs", digest, b"owner")
                await store.transact(lambda draft, name=name: draft.put(name, b""))  # type: ignore[misc]
                os.unlink(first.local.path(digest))
            for node in (second, third):
                Path(node.local.path(lost)).unlink(missing_ok=True)

            def proved(let_go: bool = False) -> Any:
                def ask(digests: Sequence[str]) -> Held:
                    if let_go:  # while the nodes are asked
                        asyncio.run_coroutine_threadsafe(forget(), loop).result()
                    return held(first.home, digests)

                return asyncio.to_thread(verify, first.home, kv.RULES, elsewhere=ask)

            async def forget() -> None:
                name = keys.key("blobrefs", lost, b"owner")
                await store.transact(lambda draft: draft.delete(name))

            loop = asyncio.get_running_loop()
            report = await proved()
            assert report.problems == [f"blob {lost} is missing"]
            assert set(report.late) == {late} and report.late[late] in ("n2", "n3")
            await third.down()
            (problem,) = (await proved()).problems
            assert problem.startswith(f"blob {lost} is missing; n3 was not asked: n3 (127.0.0.1:")
            assert (await proved(let_go=True)).ok  # named no more: nobody misses it
            await store.close()

    run(body())
