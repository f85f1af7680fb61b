"""How far each node's state is on its disk: below what all have, the cluster's log may forget.

A replica commits without a sync (the log holds the same entries synced on most nodes), so a power
cut may take it back some way. Now and then it syncs, and tells in an entry how far it had come:
row ``nodes / durable / NODE`` = ``msgpack([stream, number])``. The log is purged below the lowest
of them, with some to spare. A node that is gone for long would fill everybody's disk: when the log
has grown to half of what it may hold, the second-best word is enough, and a node that comes back
later begins from another's state.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, Protocol

import msgspec

from pileus.engine.cluster.log_messages import Position
from pileus.state import keys

TELL_MESSAGES = 10_000
TELL_S = 60.0
SPARE_MESSAGES = 10_000
PREFIX = keys.partition_prefix("nodes", "durable")
ROWS_MAX = 1000
_decode = msgspec.msgpack.Decoder(tuple[str, int]).decode


class StreamLog(Protocol):
    """What is asked of the cluster's log here."""

    @property
    def at(self) -> int:
        """The stream's number of the last message applied."""
        ...

    def run(self, task: Any) -> Any: ...
    async def purge(self, below: int) -> int: ...
    async def filled(self) -> float:
        """How much of what the stream may hold it holds: 0 to 1."""
        ...


def key(node: str) -> bytes:
    """A node's row. Who leaves for good takes his with him: it holds the log up."""
    return keys.key("nodes", "durable", node)


class Durable:
    """Runs with the housekeeping of a node of a cluster."""

    def __init__(self, store: Any, clock: Any) -> None:
        self._store = store
        self._clock = clock
        self._log: StreamLog = store.log
        self._told = self._purged = 0
        self._told_s = 0.0

    async def turn(self) -> None:
        """Sync and tell when it is due; purge what all have."""
        if not self._told:
            await self.tell()  # from its first turn on, a node is waited for
        fresh = self._log.at - self._told
        late = self._clock.monotonic() - self._told_s >= TELL_S
        # The telling is an entry itself: an idle cluster must not talk to itself for ever.
        if fresh >= TELL_MESSAGES or (late and fresh >= TELL_MESSAGES // 10):
            await self.tell()
        await self.purge()

    async def tell(self) -> None:
        """Sync the state file, then say how far it had come before."""
        replica = self._store.replica
        packed = await self._log.run(lambda: replica.position)
        if not packed:
            return
        position = Position.unpack(packed)
        await asyncio.to_thread(_sync, self._store.replica.path)
        row = msgspec.msgpack.encode([position.stream, position.at])
        await self._store.submit("write", [[key(self._store.node), row]])
        self._told, self._told_s = self._log.at, self._clock.monotonic()

    async def purge(self) -> int:
        """Purge the log below what every node has told; answers how many messages went."""
        packed = await self._log.run(lambda: self._store.replica.position)
        stream = Position.unpack(packed).stream if packed else ""
        told = [
            at if name == stream else 0
            for name, at in (
                _decode(row.value)
                for row in self._store.range(PREFIX, keys.after_prefix(PREFIX), ROWS_MAX)
            )
        ]
        below = min(told, default=0) - SPARE_MESSAGES
        if len(told) > 1 and await self._log.filled() > 0.5:
            below = max(below, sorted(told)[-2] - SPARE_MESSAGES)
        if below - self._purged < TELL_MESSAGES:
            return 0
        self._purged = below
        return await self._log.purge(below)


def _sync(path: Path | str) -> None:
    """Bring all that was committed to the disk: frames in the write-ahead log, pages in the file
    (SQLite syncs those itself before it lets the log start again)."""
    for name in (f"{path}-wal", str(path)):
        try:
            fd = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # no write-ahead log: all of it is in the file
        try:
            os.fdatasync(fd)
        finally:
            os.close(fd)
