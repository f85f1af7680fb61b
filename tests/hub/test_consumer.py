"""Consumers: in order, at least once, past poison, one process at a time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from pileus import hub
from pileus.hub.consumer import Record


class Crash(BaseException):
    """kill -9 at this very place."""


def consumer(world: Any, handle: Any, owner: str = "a", **more: Any) -> hub.Consumer:
    return hub.Consumer(world.store, world.clock, "t", "c", handle, owner=owner, **more)


class Collected:
    def __init__(self) -> None:
        self.seen: list[bytes] = []
        self.fail: dict[bytes, int] = {}

    async def __call__(self, records: Sequence[Record]) -> None:
        for record in records:
            if self.fail.get(record.payload, 0) > 0:
                self.fail[record.payload] -= 1
                raise ValueError(record.payload)
        self.seen += [record.payload for record in records]


def test_batches_come_in_order_once(run: Any) -> None:
    async def body(world: Any) -> None:
        seen = Collected()
        reader = consumer(world, seen, batch=2)
        await world.change(b"1", b"2")
        await world.change(b"3")
        assert await reader.step() and await reader.step()
        assert seen.seen == [b"1", b"2", b"3"]
        assert not await reader.step()
        await world.change(b"other", topic="u")
        assert not await reader.step()

    run(body)


def test_a_crash_between_handling_and_position_delivers_again(run: Any) -> None:
    async def body(world: Any) -> None:
        seen = Collected()

        async def crashing(records: Sequence[Record]) -> None:
            await seen(records)
            raise Crash

        await world.change(b"1", b"2")
        with pytest.raises(Crash):
            await consumer(world, crashing).step()
        assert seen.seen == [b"1", b"2"]
        assert await consumer(world, seen).step()  # the restarted process, same owner, at once
        assert seen.seen == [b"1", b"2"] * 2
        assert hub.read_position(world.store, "t", "c")[1] == 1

    run(body)


def test_another_process_waits_for_the_lease_to_end(run: Any) -> None:
    async def body(world: Any) -> None:
        seen, blocked = Collected(), asyncio.Event()

        async def stuck(records: Sequence[Record]) -> None:
            await blocked.wait()
            await seen(records)

        await world.change(b"1")
        first, second = consumer(world, stuck, "a"), consumer(world, seen, "b")
        at_work = asyncio.create_task(first.step())
        await world.until(lambda: world.store.partition("hub", "lease") or at_work.done())
        await asyncio.sleep(0.05)
        waiting = asyncio.create_task(second.step())
        await world.clock.advance(20)  # the holder renews while it works
        assert await waiting is False and seen.seen == []
        at_work.cancel()  # it dies without letting go
        await asyncio.gather(at_work, return_exceptions=True)
        for _ in range(20):
            if await world.passing(second.step()):
                break
        assert seen.seen == [b"1"]

    run(body)


def test_a_paused_holder_cannot_move_the_position(run: Any) -> None:
    async def body(world: Any) -> None:
        seen, go_on = Collected(), asyncio.Event()

        async def paused(records: Sequence[Record]) -> None:
            other = consumer(world, seen, "b")
            assert not await other._lease.hold()  # it has seen the lease, and waits
            world.clock.ms += 60_000  # the process stood still for a minute
            await other.step()
            assert seen.seen == [b"1"]
            await world.change(b"2")
            go_on.set()

        await world.change(b"1")
        with pytest.raises(hub.LostLease):
            await consumer(world, paused, "a").step()
        assert go_on.is_set()
        await consumer(world, seen, "b").step()
        assert seen.seen == [b"1", b"2"]

    run(body)


def test_poison_becomes_a_dead_letter_and_the_rest_goes_on(run: Any) -> None:
    async def body(world: Any) -> None:
        seen = Collected()
        seen.fail = {b"bad": 99, b"shy": 2}
        reader = consumer(world, seen, retry=hub.Retry(attempts_max=3, pause_s=1))
        await world.change(b"1", b"bad", b"shy", b"2")
        assert await world.passing(reader.step())
        assert seen.seen == [b"1", b"shy", b"2"]
        (dead,) = world.store.partition("hubdead", "t/c")
        letter = json.loads(dead.value)
        assert letter["payload"] == "bad" and "ValueError" in letter["error"]

    run(body)


def test_started_it_follows_the_topic(run: Any) -> None:
    async def body(world: Any) -> None:
        seen = Collected()
        reader = consumer(world, seen)
        reader.start()
        for payload in (b"1", b"2"):
            await world.change(payload)
            await world.passing_until(lambda wanted=payload: wanted in seen.seen)
        await reader.stop()
        assert seen.seen == [b"1", b"2"]

    run(body)


def test_trim_keeps_what_someone_still_needs(run: Any) -> None:
    async def body(world: Any) -> None:
        await world.change(b"1", b"2", b"3")
        fast = hub.Consumer(world.store, world.clock, "t", "fast", Collected(), owner="a")
        slow = hub.Consumer(world.store, world.clock, "t", "slow", Collected(), owner="a", batch=1)
        await fast.step()
        await slow.step()
        assert await hub.trim(world.store, "t") == 1
        assert [r[2] for r in world.store.changes("t")] == [b"2", b"3"]
        await slow.step()
        await slow.step()
        assert await hub.trim(world.store, "t") == 2
        assert world.store.changes("t") == []

    run(body)
