"""One process at a time: a lease kept in a row, with an expiry and an epoch.

A lease is taken only when there is work and renewed only while there is, so an idle cloud writes
nothing. Each taking raises the epoch; what a holder writes is checked against it (``guard``), so
that a process that was paused past its expiry writes nothing any more. A process that restarts
under the same ``owner`` takes its own lease over at once.
"""

from __future__ import annotations

import asyncio

from pileus.engine import Clock
from pileus.errors import Conflict, Unavailable
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.store import Store

TERM_MS = 6000
RENEW_S = 1.0


class LostLease(Exception):
    """Another process holds the lease now; nothing was written."""


class Lease:
    """The right to do the work called ``name``."""

    def __init__(self, store: Store, clock: Clock, name: str, owner: str) -> None:
        self._store = store
        self._clock = clock
        self._owner = owner
        self.key = keys.key("hub", "lease", name)
        self._epoch = 0
        self._until_ms = 0
        self._taking = asyncio.Lock()

    async def hold(self) -> bool:
        """Whether this process may work now, and for at least half a term on."""
        async with self._taking:
            now_ms = self._clock.now_ms()
            if self._epoch and now_ms < self._until_ms - TERM_MS // 2:
                return True
            try:
                epoch, until_ms = await self._store.transact(self._take)
            except Conflict:
                epoch, until_ms = 0, 0
            self._epoch, self._until_ms = epoch, until_ms
            return epoch > 0

    async def keep(self) -> None:
        """Renew while work is under way, however long it takes. Cancel when it is done."""
        while True:
            await self._clock.sleep(RENEW_S)
            try:
                await self.hold()
            except Unavailable:
                continue  # the work's own mark will tell whether the lease was lost

    def _take(self, draft: Draft) -> tuple[int, int]:
        now_ms = self._clock.now_ms()
        lease = draft.get_json(self.key) or {"owner": "", "epoch": 0, "until_ms": 0}
        mine = lease["owner"] == self._owner
        if not mine and lease["until_ms"] > now_ms:
            return 0, 0
        renewed = mine and self._epoch == lease["epoch"]
        epoch = lease["epoch"] + (0 if renewed else 1)
        until_ms = now_ms + TERM_MS
        draft.put_json(self.key, {"owner": self._owner, "epoch": epoch, "until_ms": until_ms})
        return epoch, until_ms

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
                draft.put_json(self.key, {**lease, "until_ms": 0})

        await self._store.transact(change)
        self._epoch = 0
