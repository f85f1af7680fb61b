"""When to look again: a table changed, a time has come, or someone asked."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from pileus.engine import Clock
from pileus.state.store import Store

LOOK_S = 60.0  # a lost wake-up costs at most this


class Wake:
    """Waits for a change of ``table``, in whatever process it was made."""

    def __init__(self, store: Store, clock: Clock, table: str) -> None:
        self._store = store
        self._clock = clock
        self._table = table
        self._rung = asyncio.Event()
        self._seen = -1

    def ring(self) -> None:
        """End the wait at once."""
        self._rung.set()

    def look(self) -> None:
        """Remember the table's generation; call before reading it."""
        self._rung.clear()
        self._seen = self._store.generation(self._table)

    async def wait(self, until_ms: int | None = None) -> None:
        """Return when the table changed since ``look``, at ``until_ms``, when rung, or after a
        minute."""
        if self._rung.is_set():
            return
        waits: list[Coroutine[Any, Any, Any]] = [
            self._store.changed(self._table, self._seen, LOOK_S),
            self._rung.wait(),
        ]
        if until_ms is not None:
            waits.append(self._clock.sleep(max(0.0, (until_ms - self._clock.now_ms()) / 1000)))
        tasks = [asyncio.ensure_future(wait) for wait in waits]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()
