"""One process at a time: a lease kept in a row, with a count of renewals and an epoch.

A lease is taken only when there is work and renewed only while there is, so an idle cloud writes
nothing. It has run out when it was not renewed for a term: each who waits measures that himself,
since the clocks of two machines may differ by minutes. Each taking raises the epoch; what a holder
writes is checked against it (``guard``), so that a process that was paused past its term writes
nothing any more. A process that restarts under the same ``owner`` takes its own lease over at once.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import orjson

from pileus.engine import Clock
from pileus.errors import Conflict, Unavailable
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TERM_S = 6.0
RENEW_S = 1.0
TABLE, PARTITION = "hub", "lease"
NOBODY: dict[str, Any] = {"owner": "", "epoch": 0}


class LostLease(Exception):
    """Another process holds the lease now; nothing was written."""


class Lease:
    """The right to do the work called ``name``."""

    def __init__(self, store: Store, clock: Clock, name: str, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self.key = keys.key(TABLE, PARTITION, name)
        self._epoch = 0
        self._until_s = 0.0
        self._seen: tuple[bytes | None, float] = (None, 0.0)  # another's lease, since when
        self._taking = asyncio.Lock()

    async def hold(self) -> bool:
        """Whether this process may work now, and for at least half a term on."""
        async with self._taking:
            now_s = self._clock.monotonic()
            if self._epoch and now_s < self._until_s - TERM_S / 2:
                return True
            try:
                self._epoch = await self._store.transact(self._take)
            except Conflict:
                self._epoch = 0
            self._until_s = now_s + TERM_S
            return self._epoch > 0

    async def keep(self) -> None:
        """Renew while work is under way, however long it takes. Cancel when it is done."""
        while True:
            await self._clock.sleep(RENEW_S)
            try:
                await self.hold()
            except Unavailable:
                continue  # the work's own mark will tell whether the lease was lost

    @contextlib.asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """``keep`` while what is inside is under way."""
        keeper = asyncio.create_task(self.keep())
        try:
            yield
        finally:
            keeper.cancel()

    async def let_go(self, *tasks: asyncio.Task[None] | None) -> None:
        """End the tasks that work under it, and release it. What they had under way is done again
        by whoever works next."""
        ended = [task for task in tasks if task is not None]
        for task in ended:
            task.cancel()
        await asyncio.gather(*ended, return_exceptions=True)
        with contextlib.suppress(Unavailable, Conflict):  # then it runs out
            await self.release()

    def _take(self, draft: Draft) -> int:
        told = draft.get(self.key)
        lease = NOBODY if told is None else orjson.loads(told)
        mine = lease["owner"] == self._owner
        if not mine and not lease.get("free") and told is not None and not self._run_out(told):
            return 0
        renewed = mine and self._epoch == lease["epoch"]
        epoch: int = lease["epoch"] + (0 if renewed else 1)
        count = lease.get("count", 0) + 1
        draft.put_json(self.key, {"owner": self._owner, "epoch": epoch, "count": count})
        return epoch

    def _run_out(self, told: bytes) -> bool:
        """Whether another's lease has stayed as it is for a term."""
        now_s = self._clock.monotonic()
        if self._seen[0] != told:
            self._seen = told, now_s
        return now_s - self._seen[1] >= TERM_S

    def guard(self, draft: Draft) -> None:
        """To be called in a holder's transaction: ``LostLease`` when the epoch has moved on."""
        lease = draft.get_json(self.key)
        if lease is None or lease["epoch"] != self._epoch or not self._epoch:
            self._epoch = 0
            raise LostLease(self.key)

    async def release(self) -> None:
        """Let another process start at once."""
        if not self._epoch:
            return

        def change(draft: Draft) -> None:
            lease = draft.get_json(self.key)
            if lease is not None and lease["epoch"] == self._epoch:
                draft.put_json(self.key, {**lease, "free": True})

        await self._store.transact(change)
        self._epoch = 0


def freed(draft: Draft, owner: str) -> None:
    """End every lease that is not ``owner``'s: to be called by who has taken over all work, in the
    same transaction."""
    prefix = keys.partition_prefix(TABLE, PARTITION)
    for row in draft.range(prefix, keys.after_prefix(prefix)):
        lease = orjson.loads(row.value)
        if lease["owner"] != owner and not lease.get("free"):
            draft.put_json(row.key, {**lease, "free": True})
