"""Several shards on a real log server: each node's copies of three logs, in this process (S3)."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from pileus.engine.cluster.log import ClusterLog
from pileus.engine.cluster.nats import NatsNode
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.state import pages
from pileus.state.following import Outgrown
from pileus.state.opening import connect_store, open_store
from pileus.state.rebuild import Clustered
from pileus.state.shard import home_of
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from tests.cluster.replicas import Replicas, fresh_shard, no_copy, until
from tests.state.test_sharded import LAYOUT, RULES, cell, number, put

SHARDS = 3


class ShardedReplicas(Replicas):
    """Nodes that keep ``SHARDS`` logs."""

    def cluster(self, name: str, source: Path | None = None) -> Clustered:
        first = self.settings()

        def make_log(shard: int, *told: Any) -> ClusterLog:
            return ClusterLog(replace(first, shard=first.shard + shard), *told)

        async def fetch(shard: int, target: Path, at_least: int) -> None:
            assert source is not None
            pages.copy(home_of(source, shard) / "state.db", target, 65536, checksums=False)

        return Clustered(make_log, fetch if source is not None else no_copy, name)

    @contextlib.asynccontextmanager
    async def node(
        self, name: str, source: Path | None = None, **more: Any
    ) -> AsyncIterator[ShardedStore]:
        told = {"shards": SHARDS, "layout": LAYOUT, "lock_s": 0.5, **more}
        store = await open_store(
            self.home(name), RULES, SystemClock(), self.cluster(name, source), **told
        )
        try:
            assert isinstance(store, ShardedStore)
            yield store
        finally:
            await store.close()


@pytest.fixture
def nodes(server: NatsNode, tmp_path: Path) -> ShardedReplicas:
    return ShardedReplicas(tmp_path, [server], fresh_shard() // SHARDS * SHARDS)


def stands(store: ShardedStore) -> list[tuple[int, bytes]]:
    replicas = [s.replica for s in store.shards]
    return [(r.applied, r.chain) for r in replicas if r is not None]


def total(store: Store) -> int:
    return sum(map(number, store.values([cell("a"), cell("b"), cell("c")])))


async def strong(store: Store) -> None:
    assert store.strong is not None
    await store.strong()


def test_each_node_has_a_copy_of_each_log(nodes: ShardedReplicas) -> None:
    async def body() -> None:
        async with nodes.node("a") as a, nodes.node("b", shards=1) as b:  # it finds out
            assert len(a.shards) == len(b.shards) == SHARDS
            for turn, (writer, reader) in enumerate([(a, b), (b, a)] * 5):
                for table in "abcz":
                    await writer.submit("write", [[cell(table, str(turn)), b"1"]])
                await strong(reader)
                assert [reader.get(cell(t, str(turn))) for t in "abcz"] == [b"1"] * 4
            await asyncio.gather(strong(a), strong(b))
            await until(lambda: stands(a) == stands(b))
            assert all(applied > 10 for applied, _ in stands(a))
        async with nodes.node("a", shards=1, layout=[(b"", 0)]) as a:  # what a home has, it keeps
            assert a.get(cell("c", "0")) == b"1"

    asyncio.run(body())


def test_a_transaction_across_shards_through_any_process(nodes: ShardedReplicas) -> None:
    async def body() -> None:
        async with nodes.node("a") as a, nodes.node("b") as b:
            front = await connect_store(nodes.home("b"), RULES, SystemClock(), node="b")
            assert isinstance(front, ShardedStore)
            await a.transact(put(cell("b"), b"100"))
            for n in range(12):
                author = (a, b, front)[n % 3]
                source, target = ("bc", "ca", "cb")[n // 3 % 3]
                asking = author.submit("test.give", [cell(source), cell(target), 1])
                with contextlib.suppress(Exception) if source == "c" else contextlib.nullcontext():
                    await asking
                for reader in (a, b, front):
                    await strong(reader)
                    assert total(reader) == 100
            await front.close()
            await asyncio.gather(strong(a), strong(b))
            await until(lambda: stands(a) == stands(b))

    asyncio.run(body())


def test_a_node_begins_from_copies_of_each_shard(nodes: ShardedReplicas) -> None:
    async def body() -> None:
        async with nodes.node("a") as a:
            for n in range(5):
                await a.submit("write", [[cell(t, str(n)), b"1"] for t in "abc"])
            for shard in a.shards:
                log = cast(ClusterLog, shard.log)
                await log.purge(log.at + 1)
            async with nodes.node("b", source=nodes.home("a"), shards=1) as b:
                await strong(b)
                assert [r.key for r in b.range(b"a", b"d", 99)] == [
                    cell(t, str(n)) for t in "abc" for n in range(5)
                ]
                await until(lambda: stands(a) == stands(b))

    asyncio.run(body())


def test_who_knows_fewer_shards_stops_when_there_are_more(
    nodes: ShardedReplicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Exception] = []
    monkeypatch.setattr(Store, "_failed", lambda store, error, shard=0: told.append(error))

    async def body() -> None:
        cluster = nodes.cluster("a")
        a = await open_store(nodes.home("a"), RULES, SystemClock(), cluster)
        assert not isinstance(a, ShardedStore)
        await a.submit("write", [[cell("z"), b"1"]])
        async with nodes.node("b") as b:
            await until(lambda: told)
            assert isinstance(told[0], Outgrown)
            with pytest.raises(Unavailable):
                await strong(a)  # what it has may lie elsewhere by now
            await a.close()
            async with nodes.node("a", shards=1) as again:
                await again.submit("write", [[cell("b"), b"1"]])
                await strong(b)
                assert b.get(cell("b")) == b"1" and len(b.shards[1].rows.range(b"b", b"c")) == 1

    asyncio.run(body())


class Slow:
    """A node whose delivery of one shard's log stands still while it is held."""

    def __init__(self, store: ShardedStore) -> None:
        self._logs = [cast(ClusterLog, shard.log) for shard in store.shards]
        self._kept: list[tuple[Any, tuple[int, bytes]]] = []

    @contextlib.contextmanager
    def held(self, shard: int) -> Iterator[None]:
        delivery = self._logs[shard]._delivery
        deliver = delivery._deliver
        kept: list[tuple[int, bytes]] = []
        delivery._deliver = lambda *message: kept.append(message)
        try:
            yield
        finally:
            delivery._deliver = deliver
            for message in kept:
                deliver(*message)


async def _halves(nodes: ShardedReplicas) -> set[int]:
    """Every sum a reader of a node saw whose copies of the logs come late, one after the other; the
    reads follow each of its commits."""
    seen: set[int] = set()
    async with nodes.node("a") as a, nodes.node("b") as b:
        await a.transact(put(cell("b"), b"1000"))
        await a.transact(put(cell("c"), b"1000"))
        await strong(b)
        slow = Slow(b)

        async def read() -> None:
            while True:
                seen.add(total(b))
                await asyncio.sleep(0.0005)

        reading = asyncio.ensure_future(read())
        for turn in range(9):
            with slow.held(turn % SHARDS):
                for pair in ("bc", "ca", "ab", "cb"):
                    await a.submit("test.give", [cell(pair[0]), cell(pair[1]), 1])
                await asyncio.sleep(0.03)
            await strong(b)
        reading.cancel()
        await until(lambda: stands(a) == stands(b))
    return seen


def test_readers_of_a_node_that_lags_never_see_half(nodes: ShardedReplicas) -> None:
    assert asyncio.run(_halves(nodes)) == {2000}
