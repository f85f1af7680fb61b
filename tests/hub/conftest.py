"""A store, and a clock that stands until a test moves it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.state.store import Store
from tests.beds import TurnedClock


class World:
    """The state of one cloud, and the processes that come and go over it."""

    def __init__(self, store: Store, clock: TurnedClock) -> None:
        self.store, self.clock = store, clock

    async def change(self, *payloads: bytes, topic: str = "t") -> None:
        """One entry with these change records."""

        def write(draft: Any) -> None:
            for payload in payloads:
                draft.change(topic, payload)

        await self.store.transact(write)

    async def passing(self, work: Coroutine[Any, Any, Any]) -> Any:
        """The answer of ``work``; time passes until it is there."""
        task = asyncio.create_task(work)
        while not task.done():
            await self.clock.advance(0.5)
        return await task

    async def passing_until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        """Time passes until it happened; ``seconds`` are the real ones it may take."""
        async with asyncio.timeout(seconds):
            while not condition():
                await self.clock.advance(0.5)

    async def until(self, condition: Callable[[], Any], seconds: float = 60) -> None:
        for _ in range(int(seconds / 0.005)):
            if condition():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("it did not happen")


@asynccontextmanager
async def opened(home: Path) -> AsyncIterator[World]:
    clock = TurnedClock()
    store = clock.store = await Store.open(home, {}, clock)
    try:
        yield World(store, clock)
    finally:
        await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[[Callable[[World], Coroutine[Any, Any, None]]], None]:
    def go(body: Callable[[World], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with opened(tmp_path) as world:
                await asyncio.wait_for(body(world), 90)

        asyncio.run(whole())

    return go
