"""The writer's thread and the loop wake each other without a lock: no entry waits for ever (S5)."""

from __future__ import annotations

import asyncio
import random
import sys
import threading
from collections.abc import Sequence
from typing import Any

from pileus.engine.embedded.log import EmbeddedLog

WAIT_S = 60
VERDICT = b"\x92\x00\xc0"


class Counting:
    """A replica that applies at once."""

    applied = 0

    def tidy(self) -> None:
        pass

    def apply_group(self, first: int, entries: Sequence[bytes], position: bytes = b"") -> Any:
        self.applied = first + len(entries) - 1
        return [VERDICT] * len(entries)

    def close(self) -> None:
        pass


def test_an_entry_that_comes_when_the_writer_found_none_is_seen():
    async def run() -> None:
        log = EmbeddedLog()
        found_none, come = threading.Event(), threading.Event()
        take = log._take

        def slowly() -> Any:
            batch = take()
            if not batch and not found_none.is_set():
                found_none.set()
                come.wait(WAIT_S)
            return batch

        log._take = slowly  # type: ignore[method-assign]
        await log.start(Counting())  # type: ignore[arg-type]
        await asyncio.wait_for(log.append(b"x"), WAIT_S)
        assert await asyncio.to_thread(found_none.wait, WAIT_S)
        second = log.append(b"x")  # the writer is awake: nobody wakes it
        come.set()
        assert (await asyncio.wait_for(second, WAIT_S)).sequence == 2
        await log.stop()

    asyncio.run(run())


def test_no_entry_of_many_waits_for_ever():
    async def run() -> None:
        log, chance = EmbeddedLog(), random.Random(7)
        await log.start(Counting())  # type: ignore[arg-type]

        async def append(times: int) -> None:
            for _ in range(times):
                await asyncio.wait_for(log.append(b"x"), WAIT_S)
                if chance.random() < 0.3:
                    await asyncio.sleep(chance.random() * 0.0002)
                if chance.random() < 0.1:
                    assert await asyncio.wait_for(log.run(lambda: 7), WAIT_S) == 7

        for width in (1, 2, 8):
            await asyncio.gather(*(append(1200 // width) for _ in range(width)))
        await log.stop()

    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change places as often as they can
    try:
        asyncio.run(run())
    finally:
        sys.setswitchinterval(before)
