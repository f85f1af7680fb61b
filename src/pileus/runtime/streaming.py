"""An answer that is read while its function still writes it.

Developer guide, "Response streaming for Lambda functions". ``Outlet`` is its end in the runtime,
``StreamedAnswer`` the one in the front process. Between them at most ``WINDOW_BYTES`` are under
way: the reader tells what it took, and a function without room waits in its own write.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Protocol

from pileus.runtime.function import InvokeOutcome

WINDOW_BYTES = 256 * 1024
TOLD_BYTES = 32 * 1024  # what was taken is told in steps of this size
ALL = 0xFFFFFFFF  # taken: whatever may come, nobody reads it
BUFFERED_TYPE = "application/json"


class Source(Protocol):
    """The worker's connection an answer is read from."""

    def pause(self) -> None: ...
    def resume(self) -> None: ...


class Streamed(Protocol):
    """An answer as its reader sees it: the parts in order, each once; then ``outcome`` is done.
    ``aclose`` what is not read to its end."""

    content_type: str
    outcome: asyncio.Future[InvokeOutcome]

    def __aiter__(self) -> AsyncIterator[bytes]: ...
    async def __anext__(self) -> bytes: ...
    async def aclose(self) -> None: ...


class Outlet:
    """Sends one answer to the front process that asked. ``begun(content_type)`` and
    ``part(data)`` put it on the wire."""

    def __init__(self, begun: Callable[[str], None], part: Callable[[bytes], None]) -> None:
        self._begun = begun
        self._part = part
        self._room = WINDOW_BYTES
        self._wanted = True
        self._source: Source | None = None

    def begin(self, content_type: str, source: Source | None = None) -> None:
        """The function begins to answer; ``source`` is paused while there is no room."""
        self._source = source
        if self._wanted:
            self._begun(content_type)

    def part(self, data: bytes) -> None:
        if not self._wanted:
            return
        self._part(data)
        self._room -= len(data)
        if self._room <= 0 and self._source is not None:
            self._source.pause()

    def taken(self, size: int) -> None:
        """The reader took ``size`` bytes; ``ALL``: it is gone, what follows is dropped."""
        held = self._room <= 0
        self._wanted = self._wanted and size != ALL
        self._room += size
        if held and self._room > 0 and self._source is not None:
            self._source.resume()


class StreamedAnswer(AsyncIterator[bytes]):
    """The parts of one answer, in order; each is given once.

    Iterating ends with the function (``outcome`` is then done), or raises what ``outcome`` holds:
    ``Throttled``, ``Unavailable``. A function's own error is an outcome, no exception. ``aclose``
    whatever is not read to its end: the function goes on, unheard. ``taken(size)`` tells the
    runtime what was read.
    """

    def __init__(
        self, outcome: asyncio.Future[InvokeOutcome], taken: Callable[[int], None]
    ) -> None:
        self.outcome = outcome
        self.content_type = BUFFERED_TYPE
        self._taken = taken
        self._parts: deque[bytes] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._begun = self._closed = self._whole = False
        self._untold = 0
        outcome.add_done_callback(lambda _: self._wake())

    # -- from the runtime -------------------------------------------------------------------------

    def begin(self, content_type: str) -> None:
        self.content_type = content_type or self.content_type
        self._begun = True
        self._wake()

    def part(self, data: bytes) -> None:
        if not self._closed:
            self._parts.append(data)
            self._wake()

    # -- to the reader ----------------------------------------------------------------------------

    async def begun(self) -> None:
        """Wait until the function answers or has ended. Raises ``Throttled``, ``Unavailable``."""
        while not self._begun and not self.outcome.done():
            await self._change()
        if not self._begun:
            self.outcome.result()

    async def __anext__(self) -> bytes:
        while not self._parts:
            if self._closed:
                raise StopAsyncIteration
            if self.outcome.done():
                return self._last()
            await self._change()
        part = self._parts.popleft()
        self._untold += len(part)
        if self._untold >= TOLD_BYTES and not self.outcome.done():
            self._taken(self._untold)
            self._untold = 0
        return part

    def _last(self) -> bytes:
        """What a buffered answer brings, all of it at the end."""
        outcome = self.outcome.result()
        if outcome.function_error or not outcome.payload or self._whole:
            raise StopAsyncIteration
        self._whole = True
        return outcome.payload

    async def aclose(self) -> None:
        if not self._closed:
            self._closed = True
            self._parts.clear()
            if not self.outcome.done():
                self._taken(ALL)
            self._wake()

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        await self._waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
