"""Strong reads by the word of all replicas: what they see, and when only the log may tell."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats import NatsNode
from pileus.state.store import Store
from tests.cluster.replicas import ROW, Replicas, fresh_shard, until

NAMES = ["a", "b", "c"]
Body = Callable[[list[Store]], Awaitable[None]]


@pytest.fixture
def three(server: NatsNode, tmp_path: Path) -> Callable[[Body], None]:
    """Runs a test with three stores that know each other."""
    replicas = Replicas(tmp_path, [server], fresh_shard())

    async def run(body: Body) -> None:
        async with AsyncExitStack() as stack:
            stores = [await stack.enter_async_context(replicas.store(n)) for n in NAMES]
            for store in stores:
                part(store).members = lambda: NAMES
            await body(stores)

    return lambda body: asyncio.run(run(body))


def part(store: Store) -> Any:
    return store.log


async def stored(store: Store) -> int:
    """Messages in the stream."""
    return (await streams.info(part(store).client, part(store).stream.name)).last


async def asked(store: Store, count: int = 1) -> None:
    """``count`` barriers that are answered without the log (a busy machine may need more)."""
    before = part(store).asking.rounds

    async def once() -> bool:
        await store.barrier()
        return bool(part(store).asking.rounds >= before + count)

    for _ in range(400):
        if await once():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("the others are never asked")


def held(store: Store) -> Callable[[], None]:
    """Let nothing more reach ``store``, as if it were far behind; answers how to let it go on."""
    delivery = part(store)._delivery
    kept: list[tuple[int, bytes]] = []
    usual = delivery._deliver
    delivery._deliver = lambda number, data: kept.append((number, data))

    def go_on() -> None:
        delivery._deliver = usual
        for number, data in kept:
            usual(number, data)

    return go_on


def test_the_others_are_asked_and_nothing_is_written(three: Callable[[Body], None]) -> None:
    async def body(stores: list[Store]) -> None:
        a, b, _ = stores
        await asked(b)
        for n in range(20):
            await a.submit("test.append", n)
            await b.barrier()
            assert len(b.get(ROW) or b"") == n + 1
        async with asyncio.timeout(80):  # who is slow for a second sends some of them to the log
            while True:
                before, rounds = await stored(a), part(b).asking.rounds
                await asyncio.gather(*(b.barrier() for _ in range(50)))
                if part(b).asking.rounds > rounds and await stored(a) == before:
                    break
                await asyncio.sleep(0.05)

    three(body)


def test_a_read_waits_for_what_another_was_answered(three: Callable[[Body], None]) -> None:
    async def body(stores: list[Store]) -> None:
        a, b, _ = stores
        await asked(b)
        go_on = held(b)
        await a.submit("test.append", 1)
        reading = asyncio.ensure_future(b.barrier())
        await asyncio.sleep(0.3)
        assert not reading.done()
        go_on()
        await reading
        assert len(b.get(ROW) or b"") == 1

    three(body)


def test_who_is_silent_sends_the_read_to_the_log(three: Callable[[Body], None]) -> None:
    """Frozen after it answered a write: the others cannot know of that write but by the log."""

    async def body(stores: list[Store]) -> None:
        a, b, c = stores
        await asked(b)
        await a.submit("test.append", 1)
        await part(a).asking.stop()
        before, rounds = await stored(c), part(b).asking.rounds
        await b.barrier()
        assert len(b.get(ROW) or b"") == 1
        assert part(b).asking.rounds == rounds and await stored(c) > before

    three(body)


def test_who_sees_other_members_sends_the_read_to_the_log(three: Callable[[Body], None]) -> None:
    async def body(stores: list[Store]) -> None:
        a, b, _ = stores
        await asked(b)
        part(a).members = lambda: [*NAMES, "d"]  # a has let in one that b has not heard of
        rounds = part(b).asking.rounds
        before = await stored(a)
        await b.barrier()
        assert part(b).asking.rounds == rounds and await stored(a) > before
        part(b).members = lambda: None  # nor where it cannot be sure of them
        await b.barrier()
        assert part(b).asking.rounds == rounds and await stored(a) > before + 1

    three(body)


def test_a_replica_that_has_proved_nothing_does_not_answer(three: Callable[[Body], None]) -> None:
    """It began without the log: its disk may have lost what it had answered."""

    async def body(stores: list[Store]) -> None:
        a, b, _ = stores
        await asked(b)
        part(a)._publisher.proven = False
        rounds, before = part(b).asking.rounds, await stored(a)
        await b.barrier()
        assert part(b).asking.rounds == rounds and await stored(a) > before
        await a.submit("test.append", 1)  # its own message came back
        await asked(b)

    three(body)


def test_a_read_that_waits_in_vain_ends_with_its_log(three: Callable[[Body], None]) -> None:
    async def body(stores: list[Store]) -> None:
        a, b, _ = stores
        await asked(b)
        go_on = held(b)
        await a.submit("test.append", 1)
        reading = asyncio.ensure_future(b.barrier())
        await until(lambda: part(b)._publisher._flight)  # after a second it asks the log too
        go_on()
        await reading

    three(body)
