"""A node that was removed while it was away: from that entry on it acknowledges nothing."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster.nats import NatsNode
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.nodes import membership
from pileus.state import removed
from pileus.state.store import Store
from tests.cluster.replicas import Replicas, fresh_shard, until, value
from tests.cluster.test_shards import SHARDS, ShardedReplicas, strong
from tests.state.test_sharded import cell


@pytest.fixture
def nodes(server: NatsNode, tmp_path: Path) -> ShardedReplicas:
    return ShardedReplicas(tmp_path, [server], fresh_shard() // SHARDS * SHARDS)


def held(store: Store) -> Callable[[], None]:
    """Nothing of the log is given to this node any more, as to one that is frozen; what is answered
    lets it thaw."""
    log: Any = store.log
    kept: list[tuple[int, bytes]] = []
    add = log._delivery._deliver
    log._delivery._deliver = lambda at, data: kept.append((at, data))

    def thaw() -> None:
        log._delivery._deliver = add
        for at, data in kept:
            add(at, data)

    return thaw


async def _remove(store: Store, name: str) -> None:
    await store.submit("write", [[removed.key(name), removed.GONE]])


def test_a_node_that_was_removed_while_it_was_frozen_acknowledges_nothing(
    replicas: Replicas,
) -> None:
    """Neither writes nor strong reads whose place in the log is behind its removal, and nothing
    after it was started again; what it has can be read."""

    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            await a.submit("test.append", 1)
            front = await Store.connect(replicas.home("a"), SystemClock(), node="a")
            assert front.strong is not None
            await front.strong()
            thaw = held(a)
            await _remove(b, "a")
            asked = [
                *(asyncio.ensure_future(s.submit("test.append", 2)) for s in (a, front)),
                *(asyncio.ensure_future(s()) for s in (a.log.barrier, front.strong)),
            ]
            await until(lambda: len(a.log._publisher._flight) > 0)  # type: ignore[union-attr]
            thaw()
            for answer in await asyncio.gather(*asked, return_exceptions=True):
                assert isinstance(answer, Unavailable), answer
                assert "left its cluster" in str(answer) and "another node" in answer.hint
            assert value(a)[:1] == value(front)[:1] == b"\x01"  # an eventual read
            assert "left its cluster" in a.degraded
            assert await b.submit("test.append", 3) > 1
            await front.close()
        async with replicas.store("a") as a:
            for late in (a.submit("test.append", 4), a.barrier()):
                with pytest.raises(Unavailable, match="left its cluster"):
                    await late
            assert value(a)[:1] == b"\x01"

    asyncio.run(body())


def test_a_removed_node_acknowledges_nothing_in_any_of_the_logs(nodes: ShardedReplicas) -> None:
    """It may hear of its removal in one log, and be asked to write to another."""

    async def body() -> None:
        async with nodes.node("a") as a, nodes.node("b") as b:
            await strong(a)
            await membership.fence(b, "a")
            await membership.fence(b, "a")  # by another that goes on with it
            for table in "bc":
                with pytest.raises(Unavailable, match="left its cluster"):
                    await a.submit("write", [[cell(table, "1"), b"1"]])
            for row in ({"name": "a", "state": "leaving"}, {"name": "b", "state": "member"}):
                await b.submit(
                    "write", [[membership.node_key(row["name"]), json.dumps(row).encode()]]
                )
            await a.submit("write", [[cell("a", "1"), b"1"]])  # the first shard's is the last word
            await b.transact(lambda draft: membership.end_leave(draft, "a"))
            with pytest.raises(Unavailable, match="left its cluster"):
                await a.submit("write", [[cell("a", "2"), b"1"]])
            with pytest.raises(Unavailable, match="left its cluster"):
                await strong(a)
            await strong(b)
            assert b.get(cell("a", "1")) == b"1"

    asyncio.run(body())
