"""What test beds share that drive a service without a door: clocks that stand until they are told
otherwise, and a loop for each test's body."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from pileus.state.store import Store

T = TypeVar("T")
Body = Callable[[T], Coroutine[Any, Any, None]]
Run = Callable[[Body[T]], None]
START_MS = 1_700_000_000_000


class StepClock:
    """Time that passes when told, and by as much as somebody sleeps."""

    def __init__(self, start_ms: int = START_MS) -> None:
        self.ms = start_ms

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        # A hundredth of it passes in truth: a loop of pauses and writes (a lease that is kept)
        # would else write in each turn of the event loop, and no other writer of its row get on.
        await asyncio.sleep(min(seconds, 1.0) / 100)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)


class TurnedClock(StepClock):
    """Time stands until ``advance`` moves it and wakes the sleepers whose time has come, in steps
    of ``step_s``. It stands, too, while ``store`` commits: on a slow disk a lease would else run
    out, or a retry fall due, while its holder waits for one sync."""

    def __init__(self, step_s: float = 0.5, pause_s: float = 0.005) -> None:
        super().__init__()
        self.store: Store | None = None
        self._step_ms, self._pause_s = int(step_s * 1000), pause_s
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.ms + int(seconds * 1000), future))
        await future

    async def advance(self, seconds: float) -> None:
        end = self.ms + int(seconds * 1000)
        while self.ms < end:
            self.ms = min(end, self.ms + self._step_ms)
            for due, future in list(self._sleepers):
                if due <= self.ms:
                    self._sleepers.remove((due, future))
                    if not future.done():
                        future.set_result(None)
            await asyncio.sleep(self._pause_s)
            await self._committed()

    async def _committed(self) -> None:
        """What was written until now is committed, and its writers know."""
        if self.store is not None:
            log: Any = self.store.log
            for _ in range(2):  # a task goes before the group that waits with it
                await log.run(int)
            await asyncio.sleep(0)


def over(opened: Callable[[], AbstractAsyncContextManager[T]]) -> Run[T]:
    """Runs a test's body over what ``opened`` gives, on a loop of its own."""

    def go(body: Body[T]) -> None:
        async def whole() -> None:
            async with opened() as made:
                await body(made)

        asyncio.run(whole())

    return go
