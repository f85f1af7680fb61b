"""Durable work with a due time: put, done at least once, put off when it fails.

A row per item, sorted by due time, so that one slow or failing item holds up no other. One process
works at a time (``Lease``), on up to ``parallel`` items at once. An item leaves its row only after
it was done; a process that dies between the two leaves the row, and the item is done again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.engine import Clock
from pileus.errors import Conflict, Unavailable
from pileus.hub.lease import Lease, LostLease
from pileus.hub.wake import Wake
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TABLE = "hubqueue"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Item:
    """One piece of work. ``body`` is JSON-able; keep it small, put what is large elsewhere."""

    key: bytes
    id: str
    due_ms: int
    body: Any


@dataclass(frozen=True, slots=True)
class Done:
    """Finished, in success or for good: the row goes. ``change`` adds writes to that entry."""

    change: Callable[[Draft], None] | None = None


@dataclass(frozen=True, slots=True)
class Later:
    """Not yet: again at ``due_ms`` with ``body`` as it is then."""

    due_ms: int
    body: Any


Handle = Callable[[Item], Awaitable[Done | Later]]


def item_key(queue: str, due_ms: int, item_id: str) -> bytes:
    return keys.key(TABLE, queue, due_ms.to_bytes(8, "big") + item_id.encode())


def put(draft: Draft, queue: str, due_ms: int, item_id: str, body: Any) -> None:
    """Add an item within the author's own transaction."""
    draft.put_json(item_key(queue, due_ms, item_id), body)


class Queue:
    """Works off the items called ``name``. ``handle`` decides; an exception of it is a bug and is
    logged, and the item waits a minute."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        name: str,
        handle: Handle,
        *,
        owner: str,
        parallel: int = 32,
    ) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._handle = handle
        self._parallel = parallel
        self._lease = Lease(store, clock, name, owner)
        self._wake = Wake(store, clock, TABLE)
        self._busy: dict[bytes, asyncio.Task[None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._keeper: asyncio.Task[None] | None = None

    def ring(self) -> None:
        """There is work: look now."""
        self._wake.ring()

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name=f"queue {self._name}")

    async def stop(self) -> None:
        await self._lease.let_go(self._task, *self._busy.values())
        self._busy.clear()

    async def _run(self) -> None:
        while True:
            try:
                due_ms = await self.step()
            except (Unavailable, Conflict, LostLease) as error:
                log.warning("queue %s pauses: %s", self._name, error)
                due_ms = self._clock.now_ms() + 1000
            await self._wake.wait(due_ms)

    async def step(self) -> int | None:
        """Begin what is due, as far as there is room. Answers when to look again (None: when the
        table changes)."""
        self._wake.look()
        items = self._peek()
        now_ms = self._clock.now_ms()
        ready = [item for item in items if item.due_ms <= now_ms and item.key not in self._busy]
        if ready and not await self._lease.hold():
            return now_ms + 1000
        for item in ready[: self._parallel - len(self._busy)]:
            task = asyncio.create_task(self._work(item))
            self._busy[item.key] = task
        if self._busy and self._keeper is None:
            self._keeper = asyncio.create_task(self._lease.keep())
        waiting = [item.due_ms for item in items if item.due_ms > now_ms]
        return min(waiting) if waiting else None

    async def settle(self) -> None:
        """Return when nothing that was begun is still in work (tests, orderly stops)."""
        while self._busy:
            await asyncio.gather(*self._busy.values(), return_exceptions=True)

    def _peek(self) -> list[Item]:
        """The earliest items: as many as could be begun, and one more."""
        prefix = keys.partition_prefix(TABLE, self._name)
        found = self._store.range(
            prefix, keys.after_prefix(prefix), self._parallel + len(self._busy) + 1
        )
        items = []
        for row in found:
            sort = keys.split(row.key)[2]
            due_ms, item_id = int.from_bytes(sort[:8], "big"), sort[8:].decode()
            items.append(Item(row.key, item_id, due_ms, orjson.loads(row.value)))
        return items

    async def _work(self, item: Item) -> None:
        try:
            verdict = await self._decide(item)
            await self._finish(item, verdict)
        except LostLease:
            log.warning("queue %s: lease lost, %s is done again elsewhere", self._name, item.id)
        except (Unavailable, Conflict) as error:
            log.warning("queue %s: %s is done again: %s", self._name, item.id, error)
            await self._clock.sleep(1)
        finally:
            self._busy.pop(item.key, None)
            self._wake.ring()
            if not self._busy and self._keeper is not None:
                self._keeper.cancel()
                self._keeper = None

    async def _decide(self, item: Item) -> Done | Later:
        try:
            return await self._handle(item)
        except (Unavailable, Conflict, LostLease):
            raise
        except Exception:
            log.exception("queue %s: the handler failed on %s", self._name, item.id)
            return Later(self._clock.now_ms() + 60_000, item.body)

    async def _finish(self, item: Item, verdict: Done | Later) -> None:
        def change(draft: Draft) -> None:
            self._lease.guard(draft)
            draft.delete(item.key)
            if isinstance(verdict, Later):
                put(draft, self._name, verdict.due_ms, item.id, verdict.body)
            elif verdict.change is not None:
                verdict.change(draft)

        await self._store.transact(change)
