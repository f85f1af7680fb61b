"""The machine's clock. Wall time never runs backwards within a process."""

from __future__ import annotations

import asyncio
import os
import time


class SystemClock:
    """Milliseconds since 1970 (UTC), a monotonic clock in seconds, and randomness."""

    def __init__(self) -> None:
        self._latest = 0

    def now_ms(self) -> int:
        now = time.time_ns() // 1_000_000
        if now > self._latest:
            self._latest = now
            return now
        return self._latest

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)
