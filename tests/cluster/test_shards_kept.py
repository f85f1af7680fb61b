"""Each of several logs is kept short, and each of several states true, by itself."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats import NatsNode
from pileus.engine.embedded.clock import SystemClock
from pileus.state import durable, rebuild
from pileus.state.database import connect
from pileus.state.durable import Durable
from pileus.state.shard import home_of
from pileus.state.sharded import ShardedStore
from tests.cluster.replicas import fresh_shard, until
from tests.cluster.test_shards import SHARDS, ShardedReplicas, stands, strong
from tests.state.test_sharded import cell


@pytest.fixture
def nodes(server: NatsNode, tmp_path: Path) -> ShardedReplicas:
    return ShardedReplicas(tmp_path, [server], fresh_shard() // SHARDS * SHARDS)


async def first_kept(store: ShardedStore) -> list[int]:
    """The first message that each log still has."""
    logs: list[Any] = [shard.log for shard in store.shards]
    return [(await streams.info(log.client, log.stream.name)).first for log in logs]


def test_each_log_is_purged_below_what_every_node_has_of_it_on_disk(
    nodes: ShardedReplicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "TELL_MESSAGES", 20)
    monkeypatch.setattr(durable, "SPARE_MESSAGES", 5)

    async def body() -> None:
        async with nodes.node("a") as a, nodes.node("b") as b:
            of_a, of_b = Durable(a, SystemClock()), Durable(b, SystemClock())
            for keeper in (of_a, of_b):
                await keeper.turn()
            told = [row.key for row in a.range(durable.PREFIX, durable.PREFIX + b"\xff")]
            assert told == sorted(durable.key(n, s) for n in "ab" for s in range(SHARDS))
            for n in range(100):
                await a.submit("write", [[cell("b", str(n % 3)), b"1"]])  # of one shard
            await strong(b)
            await of_a.turn()
            assert await first_kept(a) == [1] * SHARDS, "b has not told how far it is"
            await of_b.turn()
            await strong(a)
            await of_a.turn()
            kept = await first_kept(a)
            assert [first > 60 for first in kept] == [shard == 1 for shard in range(SHARDS)]
            async with nodes.node("c", source=nodes.home("a")) as c:  # of that shard a copy
                await strong(c)
                await until(lambda: stands(c)[1] == stands(a)[1])
            await a.transact(lambda draft: durable.forget(draft, "b"))
            left = [row.key for row in a.range(durable.PREFIX, durable.PREFIX + b"\xff")]
            assert left == sorted(durable.key("a", shard) for shard in range(SHARDS))

    asyncio.run(body())


def test_a_distrusted_state_is_fetched_and_the_others_stay(
    nodes: ShardedReplicas, stopped: list[int]
) -> None:
    async def body() -> None:
        async with nodes.node("a") as a:
            async with nodes.node("c") as c:
                for table in "abc":
                    await a.submit("write", [[cell(table), b"1"]])
                await strong(c)
                c.distrust("its rows are others", 2)
                assert stopped
            home = nodes.home("c")
            wished = [bool(rebuild.wished(home_of(home, n))) for n in range(SHARDS)]
            assert wished == [False, False, True]
            path = home_of(home, 2) / "state.db"
            with contextlib.closing(connect(path)) as connection:
                connection.execute("INSERT INTO rows(k, v, ver) VALUES(X'7A007A007A', X'78', 1)")
            before = _states(home)
            async with nodes.node("c", source=nodes.home("a")) as c:
                await strong(c)
                assert c.get(bytes.fromhex("7a007a007a")) is None
                assert [c.get(cell(table)) for table in "abc"] == [b"1"] * 3
                await until(lambda: stands(c) == stands(a))
            changed = [old != new for old, new in zip(before, _states(home), strict=True)]
            assert changed == wished

    asyncio.run(body())


def _states(home: Path) -> list[int]:
    return [(home_of(home, n) / "state.db").stat().st_ino for n in range(SHARDS)]
