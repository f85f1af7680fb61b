"""What keeps a cluster's log short and its replicas true: durable positions, votes on hashes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.engine.embedded.clock import SystemClock
from pileus.state import durable, marks, rebuild
from pileus.state.durable import Durable
from pileus.state.housekeeping import Housekeeping
from pileus.state.store import Store
from pileus.state.tx import Tx
from tests.cluster.replicas import ROW, RULES, Replicas, append_byte, copying, until


async def first_kept(store: Store) -> int:
    log: Any = store.log
    return (await streams.info(log.client, log.stream.name)).first


def test_the_log_is_purged_below_what_every_node_has_on_disk(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "TELL_MESSAGES", 20)
    monkeypatch.setattr(durable, "SPARE_MESSAGES", 5)

    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            of_a, of_b = Durable(a, SystemClock()), Durable(b, SystemClock())
            await a.submit("test.append", 0)
            await b.barrier()
            await of_a.turn()
            await of_b.turn()
            for n in range(1, 100):
                await a.submit("test.append", n)
            await of_a.turn()
            assert await first_kept(a) == 1, "b has not told yet how far it is"
            await b.barrier()
            await of_b.turn()
            await a.barrier()
            await of_a.turn()
            kept = await first_kept(a)
            log: Any = a.log
            assert 60 < kept < log.at - 5
        async with replicas.store("b") as b:  # what is left is enough to go on
            assert await b.submit("test.append", 100) == 101

    asyncio.run(body())


def test_a_node_that_is_gone_does_not_fill_the_disks_of_the_others(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "TELL_MESSAGES", 20)
    monkeypatch.setattr(durable, "SPARE_MESSAGES", 5)

    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            async with replicas.store("c") as c:
                await c.submit("test.append", 0)
                await Durable(c, SystemClock()).turn()
            for n in range(1, 100):
                await a.submit("test.append", n)
            await b.barrier()
            keepers = [Durable(a, SystemClock()), Durable(b, SystemClock())]
            for keeper in keepers:
                await keeper.turn()
            await a.barrier()
            await keepers[0].turn()
            assert await first_kept(a) == 1
            monkeypatch.setattr(streams, "LOG_BYTES_MAX", 1000)
            await keepers[0].turn()
            assert await first_kept(a) > 60
            async with replicas.store("c", fetch=copying(replicas.home("a"))) as c:
                assert len(c.get(ROW) or b"") == 100

    asyncio.run(body())


def other(tx: Tx, args: int) -> int:
    """What another release might make of the same entry."""
    return append_byte(tx, args + 1)


def test_a_replica_that_parted_from_two_others_stops_and_is_rebuilt(
    replicas: Replicas, monkeypatch: pytest.MonkeyPatch, stopped: list[int]
) -> None:
    monkeypatch.setattr(marks, "EVERY", 50)

    async def body() -> None:
        async with replicas.store("a") as a, replicas.store("b") as b:
            monkeypatch.setitem(RULES, "test.append", other)
            async with replicas.store("c") as c:
                monkeypatch.setitem(RULES, "test.append", append_byte)
                for n in range(60):
                    await a.submit("test.append", n)
                keepers = [Housekeeping(s, None, SystemClock()) for s in (c, a, b)]
                for keeper, store in zip(keepers, (c, a, b), strict=True):
                    await store.barrier()
                    if store is b:
                        assert not stopped, "one word against another says nothing yet"
                    assert await keeper.mark()
                await until(lambda: stopped)
                assert "parted" in rebuild.wished(replicas.home("c"))
                with pytest.raises(Exception, match="replica stopped"):
                    await c.barrier()
            await until(lambda: a.replica.marks.compared == b.replica.marks.compared == 2)
            async with replicas.store("c", fetch=copying(replicas.home("a"))) as c:
                assert not rebuild.wished(replicas.home("c"))
                assert c.get(ROW) == a.get(ROW)
                assert await c.submit("test.append", 60) == 61
                await a.barrier()
                assert c.replica.chain == a.replica.chain

    asyncio.run(body())
