"""The log as a front process sees it: entries go to the writer, outcomes come back in batches."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pileus.engine import Outcome, as_outcome
from pileus.engine.barriers import SharedBarrier
from pileus.engine.embedded.frames import (
    BARRIERS,
    ENTRIES,
    OUTCOMES,
    WAKES,
    WATCHES,
    Peer,
    socket_address,
)
from pileus.engine.embedded.watches import Watches
from pileus.engine.replies import Appending, Reply, Waiting, settling
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.front")
RETRY_S = 0.02
CONNECT_S_MAX = 30.0
HOLD_S_MAX = 5.0


class FrontLog(Appending):
    """Appends through the writer. When the writer dies, what was sent fails with ``Unavailable``
    (its fate is unknown), what was not waits up to 5 s for the next one. ``reconnected`` and
    ``parted`` are called when a next writer answers and when the writer is gone."""

    reconnected: Callable[[], None] = staticmethod(lambda: None)
    parted: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, path: Path, watches: Watches, *, clustered: bool = False) -> None:
        self._path = path
        self._watches = watches
        self._armed: dict[int, int] = {}
        self._pending: dict[int, Reply] = {}
        self._held: dict[int, tuple[int, Any]] = {}
        self._number = 0
        self._peer: _WriterPeer | None = None
        self._stopped = False
        self._barriers = SharedBarrier(self._ask_barrier) if clustered else None

    async def start(self) -> None:
        """Connect; ``Unavailable`` when no writer answers within 30 s."""
        self._loop = asyncio.get_running_loop()
        if not await self._connect(CONNECT_S_MAX):
            raise Unavailable("the writer process does not answer", f"its socket: {self._path}")

    async def _connect(self, seconds_max: float) -> bool:
        deadline = self._loop.time() + seconds_max
        while not self._stopped and self._loop.time() < deadline:
            try:
                address, fd = socket_address(self._path)
                try:
                    _, peer = await self._loop.create_unix_connection(
                        lambda: _WriterPeer(self), address
                    )
                finally:
                    if fd >= 0:
                        os.close(fd)
            except OSError:
                await asyncio.sleep(RETRY_S)
                continue
            self._connected(peer)
            self.reconnected()
            return True
        return False

    def _connected(self, peer: _WriterPeer) -> None:
        self._peer = peer
        for slot, seen in self._armed.items():
            peer.send(WATCHES, (slot, seen))
        for kind, row in self._held.values():
            peer.send(kind, row)
        self._held = {}

    def append_many(self, items: Sequence[Waiting]) -> None:
        """Send entries; each ``reply`` is called on the loop with its outcome or error."""
        if self._stopped:
            raise Unavailable("the log is closed", "the process is stopping")
        peer, pending = self._peer, self._pending
        for entry, reply in items:
            self._number = number = self._number + 1
            pending[number] = reply
            if peer is not None:
                peer.send(ENTRIES, (number, entry))
            else:
                self._hold(number, ENTRIES, (number, entry))

    def _awaiting(self, reply: Reply) -> int:
        self._number = number = self._number + 1
        self._pending[number] = reply
        return number

    def _hold(self, number: int, kind: int, row: Any) -> None:
        """Keep for the next writer."""
        self._held[number] = kind, row
        self._loop.call_later(HOLD_S_MAX, self._give_up, number)

    def watch(self, slot: int, seen: int) -> None:
        """Ask the writer to wake this process when the counter moves on from ``seen``."""
        if slot not in self._armed:
            self._armed[slot] = seen
            if self._peer is not None:
                self._peer.send(WATCHES, (slot, seen))

    async def barrier(self) -> int:
        if self._barriers is None:
            return 0  # one machine: a committed read is strong already
        return await self._barriers.wait()

    async def _ask_barrier(self) -> int:
        if self._stopped:
            raise Unavailable("the log is closed", "the process is stopping")
        future: asyncio.Future[Outcome] = self._loop.create_future()
        number = self._awaiting(settling(future))
        if self._peer is not None:
            self._peer.send(BARRIERS, number)
        else:
            self._hold(number, BARRIERS, number)
        return (await future).sequence

    async def stop(self) -> None:
        self._stopped = True
        if self._peer is not None:
            self._peer.transport.close()
        self._fail_pending("the process is stopping")

    # -- from the writer -------------------------------------------------------------------

    def settle(self, kind: int, rows: list[Any]) -> None:
        if kind == WAKES:
            for slot in rows:
                self._armed.pop(slot, None)
            self._watches.wake(rows)
            return
        take = self._pending.pop
        for number, first, second in rows:
            reply = take(number, None)
            if reply is not None:
                told = (first, second)
                reply(as_outcome(told) if kind == OUTCOMES else Unavailable(*told))

    def lost(self) -> None:
        self._peer = None
        if self._stopped:
            return
        log.warning("the writer is gone; connecting again")
        self.parted()
        self._fail_pending("the writer stopped before it answered")
        self._reconnecting = self._loop.create_task(self._reconnect())

    async def _reconnect(self) -> None:
        while not self._stopped and not await self._connect(CONNECT_S_MAX):
            log.error("no writer answers on %s", self._path)

    def _fail_pending(self, why: str) -> None:
        pending, self._pending, self._held = self._pending, {}, {}
        for reply in pending.values():
            reply(Unavailable(why, "repeat the request: it has one effect"))

    def _give_up(self, number: int) -> None:
        if self._held.pop(number, None) is not None:
            reply = self._pending.pop(number)
            reply(Unavailable("the writer does not answer", "try again"))


class _WriterPeer(Peer):
    def __init__(self, front: FrontLog) -> None:
        super().__init__()
        self._front = front

    def received(self, kind: int, rows: list[Any]) -> None:
        self._front.settle(kind, rows)

    def connection_lost(self, exc: Exception | None) -> None:
        self._front.lost()
