"""The embedded log: append and apply are one SQLite transaction, shared by all that wait.

Entries wait in a list while a commit runs; when it ends, the writer thread takes the whole list as
the next group, first, and only then are the answers delivered. No delay is ever added.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from itertools import count
from operator import itemgetter
from queue import SimpleQueue
from typing import Any

import apsw

from pileus.engine import LogEntry, Outcome, Replica, as_outcome
from pileus.engine.replies import Appending, Waiting, run_for
from pileus.errors import Unavailable

log = logging.getLogger("pileus.engine.log")
GROUP_ENTRIES_MAX = 512
GROUP_BYTES_MAX = 16 * 1024 * 1024
ENTRY_OF = itemgetter(0)


def unavailable(error: BaseException) -> Unavailable:
    """An operating error of the disk in words the operator can act on."""
    if isinstance(error, Unavailable):
        return error
    if isinstance(error, apsw.FullError) or getattr(error, "errno", None) in (28, 122):
        return Unavailable(
            "no space left on the disk: the write was not accepted",
            "free some space; the cloud accepts writes again by itself",
        )
    return Unavailable(
        f"the disk failed: {error}", "see the system's log; check the disk and its file system"
    )


class EmbeddedLog(Appending):
    """The writer of one shard. ``committed(replica)`` runs on the writer thread after each commit,
    before anyone is answered; ``met(error)`` there too, when a group could not be committed: it
    answers what to raise."""

    def __init__(
        self,
        committed: Callable[[Any], None] = lambda replica: None,
        met: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        self._committed, self._met = committed, met
        self._waiting: list[Waiting] = []
        self._tasks: list[tuple[Callable[[], Any], asyncio.Future[Any]]] = []
        self._wake: SimpleQueue[bool] = SimpleQueue()
        self._awake = False
        self._sick = False
        self._stopped = False
        self.groups = self.failures = 0
        self.busy_s = 0.0  # spent applying and committing groups

    async def start(self, replica: Replica) -> None:
        self._replica = replica
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._run, name="log-writer", daemon=True)
        self._thread.start()

    # -- on the loop -----------------------------------------------------------------------

    def append_many(self, items: Sequence[Waiting]) -> None:
        """Queue entries; each ``reply`` is called on the loop with its outcome or error."""
        if self._stopped:
            raise Unavailable("the log is closed", "the process is stopping")
        self._waiting += items
        if not self._awake:
            self._awake = True
            # The rest of this turn of the loop joins the group.
            self._loop.call_soon(self._wake.put, True)

    @property
    def queued(self) -> int:
        """Entries that wait for the next group."""
        return len(self._waiting)

    def run(self, task: Callable[[], Any]) -> asyncio.Future[Any]:
        """Run ``task`` on the writer thread between two groups."""
        future: asyncio.Future[Any] = self._loop.create_future()
        self._tasks.append((task, future))
        if not self._awake:
            self._awake = True
            self._wake.put(True)
        return future

    async def barrier(self) -> int:
        return self._replica.applied

    async def read(self, after: int, limit: int = 1000) -> list[LogEntry]:
        return list(await self.run(lambda: self._replica.entries(after, limit)))

    async def trim(self, below: int) -> None:
        while await self.run(lambda: self._replica.forget(below)):
            pass  # between two steps, groups that wait are committed

    async def stop(self) -> None:
        """Commit what waits, answer it, end the thread, close the file."""
        if self._stopped:
            return
        self._stopped = True
        self._wake.put(False)
        await asyncio.to_thread(self._thread.join)
        await asyncio.sleep(0)  # the last answers are on the loop's queue
        self._replica.close()

    def _answer(self, batch: list[Waiting], outcomes: list[Outcome] | Exception) -> None:
        if isinstance(outcomes, Exception):
            for _, reply in batch:
                reply(outcomes)
            return
        for (_, reply), outcome in zip(batch, outcomes, strict=True):
            reply(outcome)

    # -- on the writer thread ----------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            going = self._wake.get()
            # No lock: who adds something looks at ``_awake`` afterwards, here it is put out before
            # the lists are looked at for the last time. At worst it is woken once for nothing.
            self._awake = True
            while self._awake:
                batch = self._take()
                tasks = self._tasks[:]
                del self._tasks[: len(tasks)]
                if not batch and not tasks:
                    self._awake = False
                    self._awake = bool(self._waiting or self._tasks)
                for task, future in tasks:
                    run_for(self._loop, task, future)
                if batch:
                    outcomes = self._commit(batch)
                    self._loop.call_soon_threadsafe(self._answer, batch, outcomes)

    def _take(self) -> list[Waiting]:
        """The next group: bounded in entries and bytes, so that its callers wait a bounded time."""
        batch = self._waiting[:GROUP_ENTRIES_MAX]
        if sum(map(len, map(ENTRY_OF, batch))) > GROUP_BYTES_MAX:
            size = 0
            for number, (entry, _) in enumerate(batch, 1):
                size += len(entry)
                if size > GROUP_BYTES_MAX:
                    del batch[number:]
                    break
        del self._waiting[: len(batch)]
        return batch

    def _commit(self, batch: list[Waiting]) -> list[Outcome] | Exception:
        replica = self._replica
        try:
            if self._sick:
                replica.recover()
                self._sick = False
            replica.tidy()
            first, begun = replica.applied + 1, time.perf_counter()
            verdicts = replica.apply_group(first, list(map(ENTRY_OF, batch)))
            self._committed(replica)
            self.busy_s += time.perf_counter() - begun
            self.groups += 1
        except (apsw.Error, OSError, Unavailable) as e:
            log.error("a group of %d entries was not committed: %s", len(batch), e)
            self._sick = True
            self.failures += 1
            return unavailable(self._met(e))
        except Exception as e:
            log.exception("the state machine failed")
            self._sick = True
            self.failures += 1
            return e
        return list(map(as_outcome, zip(count(first), verdicts)))
