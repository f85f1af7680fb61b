"""Work a service does beside its calls, for as long as it is asked to."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any


class Background:
    """Tasks that begin and end together."""

    def __init__(self) -> None:
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """``name`` is what the task is called in logs and dumps."""
        self._tasks.append(asyncio.create_task(work, name=name))

    async def end(self) -> None:
        """Cancel what runs; what had failed says so here. More may begin afterwards."""
        while self._tasks:
            task = self._tasks.pop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
