"""A clock that moves only when told to, or when somebody sleeps."""

from __future__ import annotations

import asyncio
import random

START_MS = 1_767_225_600_000  # 2026-01-01


class SteppedClock:
    """Time by ``step``; randomness from the seed."""

    def __init__(self, rng: random.Random | None = None) -> None:
        self._rng = rng or random.Random(0)
        self._ms = START_MS

    def step(self, ms: int) -> None:
        self._ms += ms

    def now_ms(self) -> int:
        return self._ms

    def monotonic(self) -> float:
        return self._ms / 1000

    async def sleep(self, seconds: float) -> None:
        self._ms += round(seconds * 1000)
        await asyncio.sleep(0)

    def random_bytes(self, n: int) -> bytes:
        return self._rng.randbytes(n)
