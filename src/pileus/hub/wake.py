"""When to look again: a table changed, a time has come, or someone asked."""

from __future__ import annotations

import asyncio

from pileus.engine import Clock
from pileus.state.store import Store

POLL_S_MIN = 0.05
POLL_S_MAX = 1.0


class Wake:
    """Waits for a change of ``table``. Looks often after a change and once a second when idle;
    ``ring`` ends the wait at once (a put in this very process)."""

    def __init__(self, store: Store, clock: Clock, table: str) -> None:
        self._store = store
        self._clock = clock
        self._table = table
        self._rung = asyncio.Event()
        self._seen = -1

    def ring(self) -> None:
        self._rung.set()

    def look(self) -> None:
        """Remember the table's generation; call before reading it."""
        self._rung.clear()
        self._seen = self._store.generation(self._table)

    async def wait(self, until_ms: int | None = None) -> None:
        """Return when the table changed since ``look``, at ``until_ms``, or when rung."""
        pause = POLL_S_MIN
        while self._store.generation(self._table) == self._seen and not self._rung.is_set():
            if until_ms is not None:
                left = (until_ms - self._clock.now_ms()) / 1000
                if left <= 0:
                    return
                pause = min(pause, left)
            sleep = asyncio.ensure_future(self._clock.sleep(pause))
            ring = asyncio.ensure_future(self._rung.wait())
            try:
                await asyncio.wait((sleep, ring), return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleep.cancel()
                ring.cancel()
            pause = min(pause * 2, POLL_S_MAX)
