"""Knowing when a streamed answer is over, however it ends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any


class Leave:
    """Takes one off ``counts[name]``, once."""

    def __init__(self, counts: dict[str, int], name: str) -> None:
        self._counts = counts
        self._name = name
        self._left = False

    def now(self) -> None:
        if self._left:
            return
        self._left = True
        count = self._counts[self._name] - 1
        if count:
            self._counts[self._name] = count
        else:
            del self._counts[self._name]


class Watched(AsyncIterator[bytes]):
    """A body that leaves when it ends, is closed, or is forgotten by a viewer who went away."""

    def __init__(self, body: AsyncIterator[bytes], leave: Leave) -> None:
        self._body: Any = body
        self._chunks = aiter(body)
        self._leave = leave

    async def __anext__(self) -> bytes:
        try:
            return await anext(self._chunks)
        except BaseException:
            self._leave.now()
            raise

    async def aclose(self) -> None:
        self._leave.now()
        close = getattr(self._body, "aclose", None)
        if close is not None:
            await close()

    def __del__(self) -> None:
        self._leave.now()
