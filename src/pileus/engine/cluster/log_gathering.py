"""When entries go: at once while nothing is under way, else together.

The servers sync one message after the other, and what a message costs hardly depends on how many
entries it holds. A few entries sent behind a message under way make both later; so they wait for
its end. And who was answered together often writes again at once: a moment is left for that, so
that few callers end up in one message, not in two that wait for each other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from pileus.engine.replies import Waiting

ENOUGH, ENOUGH_BYTES = 8, 64 * 1024  # so many entries are worth a message beside others
RETURN_S = 0.002  # those who were just answered have so long to write again


class Gathering:
    """``go()`` is called when those who were waited for did not come."""

    def __init__(self, go: Callable[[], None]) -> None:
        self._go = go
        self._loop = asyncio.get_running_loop()
        self._expected = 0
        self._timer: asyncio.TimerHandle | None = None

    def complete(self, waiting: Sequence[Waiting], under_way: int) -> bool:
        """Whether ``waiting`` entries may go, while so many messages are under way."""
        count = len(waiting)
        if not count:
            return False
        if count >= ENOUGH or (not under_way and count >= self._expected):
            return True
        return sum(len(entry) for entry, _ in waiting) >= ENOUGH_BYTES

    def answered(self, count: int) -> None:
        """Nothing is under way any more; ``count`` entries were answered just now or wait."""
        self.sent()
        if count > 1:
            self._expected = count
            self._timer = self._loop.call_later(RETURN_S, self._over)

    def sent(self) -> None:
        """A message goes, or none ever will: nobody is waited for."""
        self._expected = 0
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _over(self) -> None:
        self.sent()
        self._go()
