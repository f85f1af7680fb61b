"""Queues: due times, retries, crashes, an idle cloud that writes nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from pileus import hub
from pileus.hub.queue import TABLE


async def put(world: Any, item: str, due_s: float = 0) -> None:
    due_ms = world.clock.ms + int(due_s * 1000)
    await world.store.transact(lambda draft: hub.put(draft, "q", due_ms, item, {"n": 0}))


def queue(world: Any, handle: Any, owner: str = "a", **more: Any) -> hub.Queue:
    return hub.Queue(world.store, world.clock, "q", handle, owner=owner, **more)


def waiting(world: Any) -> int:
    return len(world.store.partition(TABLE, "q"))


def test_items_run_when_due(run: Any) -> None:
    async def body(world: Any) -> None:
        seen: list[str] = []

        async def handle(item: hub.Item) -> hub.Done:
            seen.append(item.id)
            return hub.Done()

        await put(world, "soon")
        await put(world, "late", 60)
        works = queue(world, handle)
        due = await works.step()
        await works.settle()
        assert seen == ["soon"] and due == world.clock.ms + 60_000
        world.clock.ms += 60_000
        await works.step()
        await works.settle()
        assert seen == ["soon", "late"] and waiting(world) == 0

    run(body)


def test_later_puts_off_and_a_bug_waits_a_minute(run: Any) -> None:
    async def body(world: Any) -> None:
        async def handle(item: hub.Item) -> hub.Done | hub.Later:
            if item.id == "bug":
                raise KeyError("oops")
            if item.body["n"] == 2:
                return hub.Done()
            return hub.Later(world.clock.ms + 1000, {"n": item.body["n"] + 1})

        await put(world, "x")
        await put(world, "bug")
        works = queue(world, handle)
        for _ in range(3):
            await works.step()
            await works.settle()
            world.clock.ms += 1000
        assert [row.value for row in world.store.partition(TABLE, "q")] == [b'{"n":0}']

    run(body)


def test_a_slow_item_holds_up_no_other(run: Any) -> None:
    async def body(world: Any) -> None:
        seen: list[str] = []
        gate = asyncio.Event()

        async def handle(item: hub.Item) -> hub.Done:
            if item.id == "0slow":
                await gate.wait()
            seen.append(item.id)
            return hub.Done()

        works = queue(world, handle, parallel=2)
        for item in ("0slow", "1", "2", "3"):
            await put(world, item)
        while len(seen) < 3:
            await works.step()
            await asyncio.sleep(0.01)
        assert sorted(seen) == ["1", "2", "3"]
        gate.set()
        await works.settle()
        assert seen[-1] == "0slow" and waiting(world) == 0

    run(body)


def test_killed_after_the_work_it_is_done_again(run: Any) -> None:
    async def body(world: Any) -> None:
        seen: list[str] = []
        worked = asyncio.Event()

        async def dies(item: hub.Item) -> hub.Done:
            seen.append(item.id)
            worked.set()
            await asyncio.Event().wait()  # killed before its row goes
            return hub.Done()

        async def handle(item: hub.Item) -> hub.Done:
            seen.append(item.id)
            return hub.Done()

        await put(world, "x")
        first = queue(world, dies)
        await first.step()
        await worked.wait()
        for task in first._busy.values():  # as a kill does: nothing is let go, nothing written
            task.cancel()
        second = queue(world, handle)  # the restarted process: the same owner
        await second.step()
        await second.settle()
        assert seen == ["x", "x"] and waiting(world) == 0

    run(body)


def test_two_processes_do_not_share_the_work(run: Any) -> None:
    async def body(world: Any) -> None:
        seen: list[str] = []

        def handler(who: str) -> Any:
            async def handle(item: hub.Item) -> hub.Done:
                seen.append(who)
                return hub.Done()

            return handle

        first, second = queue(world, handler("a"), "a"), queue(world, handler("b"), "b")
        await put(world, "1")
        await first.step()
        await first.settle()
        await put(world, "2")
        await second.step()
        await second.settle()
        assert seen == ["a"]
        world.clock.ms += 10_000  # the first one is gone
        await second.step()
        await second.settle()
        assert seen == ["a", "b"]

    run(body)


def test_done_adds_its_writes_to_the_same_entry(run: Any) -> None:
    async def body(world: Any) -> None:
        async def handle(item: hub.Item) -> hub.Done:
            return hub.Done(lambda draft: draft.put(b"lambda\x00k", b"v"))

        await put(world, "x")
        works = queue(world, handle)
        await works.step()
        await works.settle()
        written = world.store.row(b"lambda\x00k")
        assert written is not None and written.value == b"v" and waiting(world) == 0

    run(body)


def test_idle_it_writes_nothing(run: Any) -> None:
    async def body(world: Any) -> None:
        async def handle(item: hub.Item) -> hub.Done:
            return hub.Done()

        works = queue(world, handle)
        await put(world, "x")
        works.start()
        await world.until(lambda: waiting(world) == 0)
        await works.settle()
        before = world.store.generation("hub"), world.store.generation(TABLE)
        await world.clock.advance(120)
        assert (world.store.generation("hub"), world.store.generation(TABLE)) == before
        await put(world, "y")
        await world.passing_until(lambda: not waiting(world))
        await works.stop()

    run(body)


def test_a_paused_worker_writes_nothing(run: Any) -> None:
    async def body(world: Any) -> None:
        async def other(item: hub.Item) -> hub.Later:
            return hub.Later(world.clock.ms + 5000, {"n": 7})

        async def paused(item: hub.Item) -> hub.Done:
            taken = queue(world, other, "b")
            assert not await taken._lease.hold()  # it has seen the lease, and waits
            world.clock.ms += 60_000
            await taken.step()
            await taken.settle()
            return hub.Done()

        await put(world, "x")
        works = queue(world, paused, "a")
        await works.step()
        await works.settle()
        (row,) = world.store.partition(TABLE, "q")
        assert row.value == b'{"n":7}'

    run(body)
