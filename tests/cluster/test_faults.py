"""Three log servers and three replicas: leaders change, die, stand still and wake up while entries
are written and read, strongly and in sessions (S5)."""

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
from pileus.state import keys
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
            assert held(self._store, self.name) >= length, "a session lacks its own write"


def held(store: Store, name: int) -> int:
    """How long a writer's row is at ``store`` now, without a barrier."""
    return len(store.get(keys.key("t", "counts", str(name))) or b"") // 4


class Session:
    """Eventual reads at one replica: they never go backwards."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def run(self, stopping: asyncio.Event) -> None:
        seen = [0] * WRITERS
        while not stopping.is_set():
            now = [held(self._store, name) for name in range(WRITERS)]
            assert all(a <= b for a, b in zip(seen, now, strict=True)), "a session went backwards"
            seen = now
            await asyncio.sleep(0.005)


class Reader:
    """Strong reads at one replica: none is older than what was acknowledged, or read anywhere,
    before it began. ``known``: of each writer's row, how long it was seen to be."""

    def __init__(self, store: Store, writers: list[Writer], known: dict[int, int]) -> None:
        self.reads = 0
        self._store = store
        self._writers = writers
        self._known = known

    async def run(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            told = {w.name: max(w.acknowledged, self._known.get(w.name, 0)) for w in self._writers}
            try:
                await self._store.barrier()
            except Unavailable:
                await asyncio.sleep(0.05)
                continue
            for name, length in told.items():
                now = held(self._store, name)
                assert now >= length, "older than what was known before"
                self._known[name] = max(now, self._known.get(name, 0))
            self.reads += 1


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
def test_nothing_is_lost_or_doubled_or_read_too_old(fault: Fault, tmp_path: Path) -> None:
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
    known: dict[int, int] = {}
    readers = [Reader(store, writers, known) for store in stores]
    stopping = asyncio.Event()
    everybody = (*writers, *readers, *map(Session, stores))
    running = asyncio.gather(*(each.run(stopping) for each in everybody))

    async def goes_on() -> None:
        """Everybody writes and reads some more; or one has said what is wrong."""
        counts = [w.acknowledged for w in writers], [r.reads for r in readers]
        await until(
            lambda: (
                running.done()
                or (
                    all(w.acknowledged > n + 3 for w, n in zip(writers, counts[0], strict=True))
                    and all(r.reads > n + 3 for r, n in zip(readers, counts[1], strict=True))
                )
            )
        )

    try:
        await goes_on()
        await fault()
        await goes_on()
    finally:
        stopping.set()
        await running
