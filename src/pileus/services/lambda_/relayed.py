"""A streamed answer between nodes: told by parts where the function runs, read where it was asked.

The values that go over the door between nodes, by their type: a text, the content type, when the
function begins to answer; bytes, a part; a map, the outcome, which ends it; a list, what an
``Unavailable`` says; nothing, that the function did not begin.
"""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from typing import Any

import msgspec

from pileus.errors import AwsError, Unavailable
from pileus.runtime.function import InvokeOutcome, NotBegun, Throttled
from pileus.runtime.streaming import Streamed


async def told(begin: Callable[[], Awaitable[Streamed]]) -> AsyncGenerator[Any, None]:
    """The values of one answer, each when the other node has room for it. Closed early, the
    function goes on unheard."""
    try:
        answer = await begin()
    except (Throttled, NotBegun, AwsError):
        yield None
        return
    except Unavailable as error:
        yield [str(error), error.hint]
        return
    try:
        yield answer.content_type
        async for part in answer:
            yield part
        outcome = answer.outcome.result()
        if not outcome.function_error:
            outcome = dataclasses.replace(outcome, payload=b"")  # it went out as parts
        yield dataclasses.asdict(outcome)
    except Unavailable as error:
        yield [str(error), error.hint]
    finally:
        await answer.aclose()


class Relayed(AsyncIterator[bytes]):
    """An answer that another node's function writes, read as if it were written here
    (``streaming.Streamed``). ``following``: the next value; ``close`` ends what it comes from."""

    def __init__(
        self,
        content_type: str,
        following: Callable[[], Awaitable[Any]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self.content_type = content_type
        self.outcome: asyncio.Future[InvokeOutcome] = asyncio.get_running_loop().create_future()
        self._following, self._close = following, close

    async def __anext__(self) -> bytes:
        """``Unavailable`` when the node, its runtime or the way there is lost amid the answer."""
        if self.outcome.done():
            raise StopAsyncIteration
        value = await self._following()
        if isinstance(value, bytes):
            return value
        if isinstance(value, list):
            raise Unavailable(*value)
        self.outcome.set_result(msgspec.convert(value, InvokeOutcome))
        raise StopAsyncIteration

    async def aclose(self) -> None:
        await self._close()
