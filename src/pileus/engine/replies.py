"""Who waits for an entry of a log, or for a task on its thread, and how he is told."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from pileus.engine import Outcome

Reply = Callable[[Outcome | Exception], None]
Waiting = tuple[bytes, Reply]


class Appending(ABC):
    """A log that takes entries together: ``append`` by ``append_many``."""

    _loop: asyncio.AbstractEventLoop  # whoever waits is told on it

    @abstractmethod
    def append_many(self, items: Sequence[Waiting]) -> None:
        """Queue entries; each ``reply`` is called on the loop with its outcome or error."""

    def append(self, entry: bytes) -> Awaitable[Outcome]:
        """See ``pileus.engine.Log``."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.append_many([(entry, settling(future))])
        return future


def settling(future: asyncio.Future[Outcome]) -> Reply:
    """A reply that settles ``future``, unless its caller went away."""

    def reply(outcome: Outcome | Exception) -> None:
        if isinstance(outcome, Outcome):
            _fulfil(future, outcome)
        else:
            _fail(future, outcome)

    return reply


def run_for(
    loop: asyncio.AbstractEventLoop, task: Callable[[], Any], future: asyncio.Future[Any]
) -> None:
    """Run ``task`` on this thread; ``future``, of ``loop``, gets its result or its error."""
    try:
        result = task()
    except Exception as e:
        loop.call_soon_threadsafe(_fail, future, e)
    else:
        loop.call_soon_threadsafe(_fulfil, future, result)


def _fulfil(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
