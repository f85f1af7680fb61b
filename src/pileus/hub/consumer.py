"""A durable reader of one topic's change records, in order, at least once.

``handle`` gets batches. When it returns, the position moves behind them in one entry. When it
raises, the batch is tried again record by record with growing pauses; a record that fails
``attempts_max`` times becomes a dead letter and the rest goes on. One process works at a time
(``Lease``); whoever takes over starts at the position, so what was handled but not yet marked is
handled again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from pileus.engine import Clock
from pileus.errors import Conflict, Unavailable
from pileus.hub.lease import Lease, LostLease
from pileus.hub.wake import Wake
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store
from pileus.state.tx import change_key

START = (0, -1)
PAUSE_S_MAX = 60.0
DEAD_TABLE = "hubdead"

log = logging.getLogger(__name__)

Position = tuple[int, int]


class Record(NamedTuple):
    """One change record: its place in the log and its payload."""

    sequence: int
    part: int  # within the entry
    payload: bytes

    @property
    def position(self) -> Position:
        return self.sequence, self.part


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a record is tried and how long to wait before the second attempt; the pause
    doubles, up to a minute."""

    attempts_max: int = 5
    pause_s: float = 0.2

    def pause(self, attempt: int) -> float:
        return float(min(self.pause_s * 2**attempt, PAUSE_S_MAX))


Handle = Callable[[Sequence[Record]], Awaitable[None]]


def position_key(topic: str, name: str) -> bytes:
    return keys.key("hub", f"position/{topic}", name)


def read_position(store: Store, topic: str, name: str) -> Position:
    """Everything up to here was handled."""
    found = store.get_json(position_key(topic, name))
    return (found["sequence"], found["index"]) if found else START


class Consumer:
    """Reads ``topic`` as ``name``; names are unique per topic and keep their position for ever."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        topic: str,
        name: str,
        handle: Handle,
        *,
        owner: str,
        batch: int = 100,
        retry: Retry | None = None,
    ) -> None:
        self.topic, self.name = topic, name
        self._store = store
        self._clock = clock
        self._handle = handle
        self._batch = batch
        self._retry = retry or Retry()
        self._lease = Lease(store, clock, f"{topic}/{name}", owner)
        self._wake = Wake(store, clock, "changes")
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"consumer {self.topic}/{self.name}")

    async def stop(self) -> None:
        await self._lease.let_go(self._task)

    async def _run(self) -> None:
        while True:
            try:
                worked = await self.step()
            except (Unavailable, Conflict, LostLease) as error:
                log.warning("consumer %s/%s pauses: %s", self.topic, self.name, error)
                await self._clock.sleep(1)
                continue
            if not worked:
                await self._wake.wait()

    async def step(self) -> bool:
        """Handle one batch; False when there is none, or another process works."""
        self._wake.look()
        after = read_position(self._store, self.topic, self.name)
        found = self._store.changes(self.topic, after, self._batch)
        if not found:
            return False
        if not await self._lease.hold():
            await self._clock.sleep(1)
            return False
        # Read again under the lease: the last holder may have moved on meanwhile.
        after = read_position(self._store, self.topic, self.name)
        records = [Record(*r) for r in self._store.changes(self.topic, after, self._batch)]
        if records:
            await self._work(records)
        return True

    async def _work(self, records: list[Record]) -> None:
        async with self._lease.kept():
            error = await self._attempt(records)
            if error is None:
                await self._advance(records[-1])
                return
            log.warning("consumer %s/%s: a batch failed: %r", self.topic, self.name, error)
            for record in records:
                await self._one(record)

    async def _one(self, record: Record) -> None:
        error: Exception | None = None
        for attempt in range(self._retry.attempts_max):
            if attempt:
                await self._clock.sleep(self._retry.pause(attempt - 1))
            error = await self._attempt([record])
            if error is None:
                await self._advance(record)
                return
        log.error("consumer %s/%s: dead letter: %r", self.topic, self.name, error)
        await self._advance(record, repr(error))

    async def _attempt(self, records: list[Record]) -> Exception | None:
        try:
            await self._handle(records)
        except Exception as error:  # whatever the handler raises decides about its records only
            return error
        return None

    async def _advance(self, record: Record, dead: str = "") -> None:
        """Move the position; with ``dead`` keep the record aside, in the same entry."""

        def change(draft: Draft) -> None:
            self._lease.guard(draft)
            place = {"sequence": record.sequence, "index": record.part}
            draft.put_json(position_key(self.topic, self.name), place)
            if dead:
                letter = {**place, "error": dead, "at_ms": draft.now_ms}
                letter["payload"] = record.payload.decode("latin-1")
                sort = record.sequence.to_bytes(8, "big") + record.part.to_bytes(4, "big")
                draft.put_json(keys.key(DEAD_TABLE, f"{self.topic}/{self.name}", sort), letter)

        await self._store.transact(change)


async def trim(store: Store, topic: str, batch: int = 1000) -> int:
    """Delete change records of ``topic`` that every consumer has behind it; answers how many."""
    found = store.partition("hub", f"position/{topic}")
    names = [keys.split(row.key)[2].decode() for row in found]
    if not names:
        return 0
    lowest = min(read_position(store, topic, name) for name in names)
    gone = 0
    while True:
        records = store.changes(topic, START, batch)
        done = [r for r in records if (r[0], r[1]) <= lowest]
        if not done:
            return gone
        await store.submit("write", [[change_key(topic, r[0], r[1]), None] for r in done])
        gone += len(done)
