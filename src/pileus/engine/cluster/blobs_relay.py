"""A large upload on its way to another node while it is written here: nothing is read twice, and
what waits for a slow node is bounded."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

HIGH_BYTES = 4 * 1024 * 1024


class Relay:
    """The upload to ``node``; ``task`` ends when it has the blob synced, or fails."""

    def __init__(self, peers: Any, node: str) -> None:
        self.node = node
        self.room = asyncio.Event()  # for more, or there is nobody any more to send to
        self.room.set()
        self._chunks: deque[bytes] = deque()
        self._held = 0
        self._more = asyncio.Event()
        self._finished = False
        self.task: asyncio.Task[None] = asyncio.ensure_future(peers.put(node, "", self._pieces()))
        self.task.add_done_callback(self._over)

    @property
    def alive(self) -> bool:
        return not self.task.done()

    def _over(self, task: asyncio.Task[None]) -> None:
        self._chunks.clear()
        self.room.set()
        if not task.cancelled():
            task.exception()  # whoever wants to know awaits the task

    def push(self, chunk: bytes) -> None:
        """Bytes to send. What is told to a relay that failed is dropped."""
        if not self.alive:
            return
        self._chunks.append(chunk)
        self._held += len(chunk)
        if self._held > HIGH_BYTES:
            self.room.clear()
        self._more.set()

    def finish(self, digest: bytes) -> None:
        """All bytes were told; ``digest`` follows them, and only then the node names the blob."""
        self._finished = True
        self.push(digest)

    def cut(self) -> None:
        """Break off: the node forgets what it got."""
        self.task.cancel()

    async def _pieces(self) -> AsyncIterator[bytes]:
        while True:
            while self._chunks:
                chunk = self._chunks.popleft()
                self._held -= len(chunk)
                if self._held <= HIGH_BYTES // 2:
                    self.room.set()
                yield chunk
            if self._finished:
                return
            self._more.clear()
            await self._more.wait()


async def flow(relays: Sequence[Relay], patience_s: float) -> float:
    """Wait until more may be written: the fastest relay has room, and the others have it too or
    ``patience_s`` is used up: then they are cut, their copies follow behind. Answers the patience
    left. A node that takes nothing at all ends by its client's time limit."""
    full = [r for r in relays if r.alive and not r.room.is_set()]
    if not full:
        return patience_s
    began = time.monotonic()
    keeping_up = any(r.alive and r.room.is_set() for r in relays)
    waits = [asyncio.ensure_future(r.room.wait()) for r in full]
    try:
        if not keeping_up:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return patience_s
        await asyncio.wait(waits, timeout=max(patience_s, 0.0))
    finally:
        for wait in waits:
            wait.cancel()
    for relay in full:
        if not relay.room.is_set():
            relay.cut()
    return patience_s - (time.monotonic() - began)
