"""Three log servers and three replicas: leaders change and die while entries are written."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster import election, streams
from pileus.errors import Unavailable
from pileus.state.store import Store
from tests.cluster.replicas import Replicas, until
from tests.cluster.servers import Server, running

WRITERS = 12
LEADS_S_MAX = 80.0
Fault = Callable[[list[Server], Store], Awaitable[None]]


class Writer:
    """Appends 0, 1, 2, … to a row of its own and repeats what it did not learn the end of."""

    def __init__(self, name: int, store: Store) -> None:
        self.name = name
        self.acknowledged = 0
        self.repeats = 0
        self._store = store

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            request = os.urandom(16)
            args = [self.name, self.acknowledged]
            while True:
                try:
                    length = await self._store.submit("test.count", args, request)
                    break
                except Unavailable:
                    self.repeats += 1
                    await asyncio.sleep(0.05)
            self.acknowledged += 1
            assert length == self.acknowledged, "lost or doubled"


async def told_of(store: Store, true: Callable[[streams.StreamInfo], Any]) -> streams.StreamInfo:
    """The stream, once ``true`` of it. While there is no leader nobody answers, or refuses at
    once."""
    log: Any = store.log
    async with asyncio.timeout(LEADS_S_MAX):
        while True:
            with contextlib.suppress(Unavailable):
                told = await streams.info(log.client, log.stream.name, 1.0)
                if true(told):
                    return told
            await asyncio.sleep(0.05)


async def leader(servers: list[Server], store: Store) -> Server:
    told = await told_of(store, lambda stream: stream.leader)
    return next(server for server in servers if server.node.name == told.leader)


async def step_down(servers: list[Server], store: Store) -> None:
    log: Any = store.log
    before = await leader(servers, store)
    async with asyncio.timeout(LEADS_S_MAX):
        while await leader(servers, store) is before:  # or the one before leads again
            with contextlib.suppress(Unavailable):
                await streams.step_down(log.client, log.stream.name)
            await asyncio.sleep(0.05)


async def kill(servers: list[Server], store: Store) -> None:
    """kill -9 of the leader; back after others lead."""
    victim = await leader(servers, store)
    victim.kill()
    await another_leads(servers, store, victim)
    victim.start()


async def freeze(servers: list[Server], store: Store) -> None:
    """The leader stands still, and wakes up when others lead."""
    victim = await leader(servers, store)
    victim.signal(signal.SIGSTOP)
    try:
        await another_leads(servers, store, victim)
    finally:
        victim.signal(signal.SIGCONT)


async def another_leads(servers: list[Server], store: Store, victim: Server) -> None:
    await told_of(store, lambda stream: stream.leader not in ("", victim.node.name))


async def call(servers: list[Server], store: Store) -> None:
    """Elections are called without need, then because the leader stands still; it wakes up when
    others lead."""
    group = (await told_of(store, lambda stream: stream.group)).group
    for _ in range(2):
        await called(servers, group)
        await asyncio.sleep(0.5)
    victim = await leader(servers, store)
    victim.signal(signal.SIGSTOP)
    try:
        await called([s for s in servers if s is not victim], group)
        await another_leads(servers, store, victim)
    finally:
        victim.signal(signal.SIGCONT)


async def called(servers: list[Server], group: str) -> None:
    """An election is called through one of ``servers``."""
    n = servers[0].node
    where = [s.node.address for s in servers]
    system = await streams.connect(where, n.user, n.password, n.tls.context(), system=True)
    try:
        async with asyncio.timeout(LEADS_S_MAX):
            while not await election.call(system, group):  # noqa: ASYNC110 - none tells yet
                await asyncio.sleep(0.05)
    finally:
        await system.close()


@pytest.mark.parametrize("fault", [step_down, kill, freeze, call])
def test_nothing_is_lost_or_doubled(fault: Fault, tmp_path: Path) -> None:
    async def body(servers: list[Server]) -> None:
        replicas = Replicas(tmp_path, [s.node for s in servers], 0)
        async with replicas.store("a", 0) as a, replicas.store("b", 1) as b:
            async with replicas.store("c", 2) as c:
                await told_of(a, lambda stream: sum(p.current for p in stream.peers) == 2)
                await under_load([a, b, c], lambda: fault(servers, a))
                await asyncio.gather(*(up_to_date(s) for s in (a, b, c)))
                await until(lambda: a.replica.applied == b.replica.applied == c.replica.applied)
                assert a.replica.chain == b.replica.chain == c.replica.chain

    with running(tmp_path, 3) as servers:
        asyncio.run(body(servers))


async def up_to_date(store: Store) -> None:
    """A barrier; asked for again while leaders change (who wakes up may call one more election)."""
    async with asyncio.timeout(LEADS_S_MAX):
        while True:
            with contextlib.suppress(Unavailable):
                await store.barrier()
                return
            await asyncio.sleep(0.05)


async def under_load(stores: list[Store], fault: Callable[[], Awaitable[None]]) -> None:
    writers = [Writer(n, stores[n % len(stores)]) for n in range(WRITERS)]
    stopping = asyncio.Event()
    running = asyncio.gather(*(w.run(stopping) for w in writers))
    try:
        await until(lambda: all(w.acknowledged > 3 for w in writers))
        await fault()
        before = [w.acknowledged for w in writers]
        await until(
            lambda: all(w.acknowledged > n + 3 for w, n in zip(writers, before, strict=True))
        )
    finally:
        stopping.set()
        await running
