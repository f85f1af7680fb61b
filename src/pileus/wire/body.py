"""A request body on its way in: chunks, with back-pressure on the socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable


class BodyQueue:
    """The ``BodyStream`` a handler reads. The connection puts, the handler takes.

    ``length`` is the announced length (-1: chunked). ``hold`` and ``release`` stop and restart
    reading from the socket when more than ``high`` bytes wait here; ``first`` runs once, when the
    handler first asks for bytes (``100 Continue``).
    """

    def __init__(
        self,
        length: int,
        high: int,
        hold: Callable[[], None],
        release: Callable[[], None],
        first: Callable[[], None] | None = None,
    ) -> None:
        self.length = length
        self.complete = False
        self.received = 0
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._high = high
        self._held = False
        self._hold, self._release, self._first = hold, release, first
        self._error: BaseException | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._abandoned = False
        self._whole = False

    def put(self, chunk: bytes) -> None:
        """Bytes arrived."""
        self.received += len(chunk)
        if self._abandoned:
            return
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self._size > self._high and not self._held:
            self._held = True
            self._hold()
        if not self._whole or self._held:
            self._wake()

    def end(self) -> None:
        """The last byte has arrived."""
        self.complete = True
        self._wake()

    def fail(self, error: BaseException) -> None:
        """No more bytes will come: the reader gets ``error``."""
        if not self.complete and self._error is None:
            self._error = error
            self._wake()

    def abandon(self) -> None:
        """The handler has answered: drop what waits and what still comes."""
        self._abandoned = True
        self._chunks.clear()
        self._size = 0
        self._let_go()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _let_go(self) -> None:
        if self._held:
            self._held = False
            self._release()

    async def whole(self) -> bytes:
        """All of it. Who asks is woken once, at its end, where it is short enough to be held."""
        self._whole = True
        self._begin()
        chunks: list[bytes] = []
        while not self.complete or self._chunks:
            if self._chunks and (self.complete or self._held):
                chunks.extend(self._chunks)
                self._chunks.clear()
                self._size = 0
                self._let_go()
            else:
                await self._more()
        return b"".join(chunks)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    def _begin(self) -> None:
        if self._first is not None:
            first, self._first = self._first, None
            first()

    async def __anext__(self) -> bytes:
        self._begin()
        while not self._chunks:
            if self.complete:
                raise StopAsyncIteration
            await self._more()
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._size <= self._high // 2:
            self._let_go()
        return chunk

    async def _more(self) -> None:
        """Wait for bytes, or for the end."""
        if self._error is not None:
            raise self._error
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None
