"""One barrier for all who wait: at most one is under way, and one more waits for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable


class SharedBarrier:
    """``ask`` makes one barrier. Who comes while one is under way waits for the next: the one
    under way may have begun too early for him."""

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._next: asyncio.Future[int] | None = None
        self._task: asyncio.Task[None] | None = None

    async def wait(self) -> int:
        """The sequence number of a barrier begun after this call; raises what ``ask`` raises."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            self._next.add_done_callback(_seen)
            if self._task is None:
                self._task = loop.create_task(self._run())
        return await asyncio.shield(self._next)

    async def _run(self) -> None:
        while (waiting := self._next) is not None:
            self._next = None
            try:
                waiting.set_result(await self._ask())
            except Exception as e:
                waiting.set_exception(e)
        self._task = None


def _seen(future: asyncio.Future[int]) -> None:
    """Everyone who waited may have gone away: then nobody else looks at its error."""
    if not future.cancelled():
        future.exception()
