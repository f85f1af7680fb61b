"""One barrier for all who ask in one turn of the loop."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable


class SharedBarrier:
    """``ask`` makes one barrier. Who comes in a later turn gets another: the one under way may
    have begun too early for him. (How many become messages of the log is for the log to say.)"""

    def __init__(self, ask: Callable[[], Awaitable[int]]) -> None:
        self._ask = ask
        self._next: asyncio.Future[int] | None = None
        self._asked: set[asyncio.Future[int]] = set()

    async def wait(self) -> int:
        """The sequence number of a barrier begun after this call; raises what ``ask`` raises."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._begin)
        return await asyncio.shield(self._next)  # it is not one caller's to cancel

    def _begin(self) -> None:
        waiting, self._next = self._next, None
        assert waiting is not None
        asked = asyncio.ensure_future(self._ask())
        self._asked.add(asked)  # a task nobody holds may be collected
        asked.add_done_callback(functools.partial(self._end, waiting))

    def _end(self, waiting: asyncio.Future[int], asked: asyncio.Future[int]) -> None:
        self._asked.discard(asked)
        if asked.cancelled():
            waiting.cancel()
        elif (error := asked.exception()) is not None:
            waiting.set_exception(error)
            waiting.exception()  # everyone who waited may have gone away
        else:
            waiting.set_result(asked.result())
