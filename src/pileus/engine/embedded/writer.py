"""The writer's door: entries of the other front processes join the same groups."""

from __future__ import annotations

import asyncio
import functools
import os
from pathlib import Path
from typing import Any

from pileus.engine import Outcome, WriterLog
from pileus.engine.embedded.frames import (
    BARRIERS,
    ENTRIES,
    FAILURES,
    OUTCOMES,
    WAKES,
    WATCHES,
    Peer,
    socket_address,
)
from pileus.engine.embedded.log import unavailable
from pileus.engine.embedded.watches import Watches


class WriterDoor:
    """Listens on ``path`` (owner only) until ``close``."""

    def __init__(self, path: Path, log: WriterLog, watches: Watches) -> None:
        self._path = path
        self._log = log
        self._watches = watches
        self._peers: set[_FrontPeer] = set()

    async def open(self) -> None:
        self._path.unlink(missing_ok=True)
        address, fd = socket_address(self._path)
        mask = os.umask(0o177)
        try:
            loop = asyncio.get_running_loop()
            self._server = await loop.create_unix_server(self._peer, address)
        finally:
            os.umask(mask)
            if fd >= 0:
                os.close(fd)

    def _peer(self) -> _FrontPeer:
        return _FrontPeer(self._log, self._watches, self._peers)

    async def close(self) -> None:
        self._server.close()
        for peer in list(self._peers):
            peer.transport.close()  # what is buffered is sent first
        await asyncio.sleep(0)


class _FrontPeer(Peer):
    def __init__(self, log: WriterLog, watches: Watches, peers: set[_FrontPeer]) -> None:
        super().__init__()
        self._log = log
        self._watches = watches
        self._peers = peers
        self._waiting: set[asyncio.Future[int]] = set()  # a task nobody holds may be collected

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._peers.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._peers.discard(self)

    def received(self, kind: int, rows: list[Any]) -> None:
        if kind == ENTRIES:
            self._log.append_many(
                [(entry, functools.partial(self._reply, number)) for number, entry in rows]
            )
        elif kind == WATCHES:
            for slot, seen in rows:
                self._watches.add(slot, seen, functools.partial(self.send, WAKES, slot))

        elif kind == BARRIERS:
            for number in rows:
                waiting = asyncio.ensure_future(self._log.barrier())
                self._waiting.add(waiting)
                waiting.add_done_callback(functools.partial(self._passed, number))

    def _passed(self, number: int, barrier: asyncio.Future[int]) -> None:
        self._waiting.discard(barrier)
        if barrier.cancelled():
            return
        error = barrier.exception()
        if isinstance(error, Exception):
            self._reply(number, error)
        else:
            self._reply(number, Outcome(barrier.result(), b""))

    def _reply(self, number: int, outcome: Outcome | Exception) -> None:
        if isinstance(outcome, Outcome):
            self.send(OUTCOMES, (number, *outcome))
        else:
            failure = unavailable(outcome)
            self.send(FAILURES, (number, str(failure), failure.hint))
