"""A body waited for as a whole: woken once, at its end, or where it is too long to be held."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest

from pileus.wire.body import BodyQueue


def test_a_whole_body_wakes_its_reader_once() -> None:
    async def run() -> None:
        for high, held in ((1000, []), (150, ["hold", "go", "hold", "go"])):
            told: list[str] = []
            queue = BodyQueue(400, high, partial(told.append, "hold"), partial(told.append, "go"))
            reading = asyncio.ensure_future(queue.whole())
            for i in range(4):
                await asyncio.sleep(0)
                queue.put(bytes([i]) * 100)
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                assert not reading.done()
            queue.end()
            assert await reading == b"".join(bytes([i]) * 100 for i in range(4))
            assert told == held

    asyncio.run(run())


def test_a_client_that_leaves_ends_the_wait() -> None:
    async def run() -> None:
        queue = BodyQueue(400, 1000, lambda: None, lambda: None)
        reading = asyncio.ensure_future(queue.whole())
        await asyncio.sleep(0)
        queue.put(bytes(100))
        queue.fail(ConnectionResetError("the client went away"))
        with pytest.raises(ConnectionResetError):
            await reading

    asyncio.run(run())
