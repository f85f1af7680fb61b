"""How far each node's state is on its disk: below what all have, the cluster's logs may forget.

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
from typing import Any, Protocol, cast

import msgspec

from pileus.engine.cluster.log_messages import Position
from pileus.errors import Unavailable
from pileus.state import keys
from pileus.state.shard import Shard

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


def key(node: str, shard: int = 0) -> bytes:
    """A node's row. Who leaves for good takes his with him: it holds the log up."""
    return keys.key("nodes", "durable", f"{node}/{shard}" if shard else node)


def forget(draft: Any, node: str) -> None:
    """Take out a node's rows: no log is kept for it any more."""
    for row in draft.range(PREFIX, keys.after_prefix(PREFIX), ROWS_MAX):
        if _whose(row.key)[0] == node:
            draft.delete(row.key)


def _whose(key: bytes) -> tuple[str, int]:
    """Whose row it is, and of which shard."""
    node, _, shard = keys.split(key)[2].decode().partition("/")
    return node, int(shard or 0)


class Durable:
    """Runs with the housekeeping of a node of a cluster."""

    def __init__(self, store: Any, clock: Any) -> None:
        self._store = store
        self._clock = clock
        self._logs = [_Kept(shard) for shard in store.shards]

    async def turn(self) -> None:
        """Sync and tell when it is due; purge what all have."""
        now_s = self._clock.monotonic()
        await self._tell([kept for kept in self._logs if kept.due(now_s)])
        await self.purge()

    async def tell(self) -> None:
        """Sync every state file, then say how far it had come before."""
        await self._tell(self._logs)

    async def _tell(self, due: list[_Kept]) -> None:
        rows: list[list[bytes]] = []
        telling: list[_Kept] = []
        for kept in due:
            position = await kept.position()
            if position is not None:
                await asyncio.to_thread(_sync, kept.path)
                row = msgspec.msgpack.encode([position.stream, position.at])
                rows.append([key(self._store.node, kept.number), row])
                telling.append(kept)
        if rows:
            await self._store.submit("write", rows)
        for kept in telling:
            kept.told, kept.told_s = kept.log.at, self._clock.monotonic()

    async def purge(self) -> int:
        """Purge each log below what every node has told; answers how many messages went."""
        told: dict[int, list[tuple[str, int]]] = {}
        for row in self._store.range(PREFIX, keys.after_prefix(PREFIX), ROWS_MAX):
            told.setdefault(_whose(row.key)[1], []).append(_decode(row.value))
        gone, failed = 0, None
        for kept in self._logs:
            try:
                gone += await kept.purge(told.get(kept.number, []))
            except Unavailable as error:
                failed = error  # that log's servers do not answer: the others' may
        if failed is not None:
            raise failed
        return gone


class _Kept:
    """One shard's log, and what this node has said of it."""

    def __init__(self, shard: Shard) -> None:
        assert shard.replica is not None
        self.number, self.path = shard.number, shard.replica.path
        self.log = cast(StreamLog, shard.log)
        self._replica = shard.replica
        self.told = self._purged = 0
        self.told_s = 0.0

    def due(self, now_s: float) -> bool:
        if not self.told:
            return True  # from its first turn on, a node is waited for
        fresh = self.log.at - self.told
        late = now_s - self.told_s >= TELL_S
        # The telling is an entry itself: an idle cluster must not talk to itself for ever.
        return fresh >= TELL_MESSAGES or (late and fresh >= TELL_MESSAGES // 10)

    async def position(self) -> Position | None:
        """How far the state has come, between two groups."""
        packed = await self.log.run(lambda: self._replica.position)
        return Position.unpack(packed) if packed else None

    async def purge(self, words: list[tuple[str, int]]) -> int:
        """Purge below the lowest of the nodes' ``words``."""
        position = await self.position()
        stream = position.stream if position is not None else ""
        told = [at if name == stream else 0 for name, at in words]
        below = min(told, default=0) - SPARE_MESSAGES
        if len(told) > 1 and await self.log.filled() > 0.5:
            below = max(below, sorted(told)[-2] - SPARE_MESSAGES)
        if below - self._purged < TELL_MESSAGES:
            return 0
        self._purged = below
        return await self.log.purge(below)


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
