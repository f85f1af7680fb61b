"""Durable background jobs of this service: a row each, taken up again after a crash.

A job's row is written in the entry that promises it (a backup that is CREATING, a table that is
being restored) and goes in the entry that ends it. Whatever a job has done when its process dies is
done again or found done; each kind says how. One process runs them, a few at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple

import orjson

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import keys

JOBS = "dynamodb.jobs"
PARALLEL = 4
RETRY_S = 5.0
BUG_S = 60.0
log = logging.getLogger(__name__)


class Failed(Exception):
    """A job cannot be done, and why: ``code`` and ``message`` as the API shows them."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message


def job_key(kind: str, name: str) -> bytes:
    """The row of a job; ``name`` is unique within its kind."""
    return keys.key(JOBS, "jobs", f"{kind}/{name}")


def promise(draft: Any, kind: str, name: str, work: dict[str, Any]) -> None:
    """Add a job in the author's own entry."""
    draft.put_json(job_key(kind, name), work)


class Kind(NamedTuple):
    """``run(work)`` does the job, to the entry that removes its row. ``fail(work, failed)`` ends
    one that cannot be done, likewise."""

    run: Callable[[dict[str, Any]], Awaitable[None]]
    fail: Callable[[dict[str, Any], Failed], Awaitable[None]]


class Jobs:
    """Runs what stands in the rows. ``kinds`` by name; work gets its own ``"job"`` key."""

    def __init__(self, room: Any, kinds: Mapping[str, Kind]) -> None:
        self._room = room
        self._kinds = kinds
        self._running: dict[bytes, asyncio.Task[None]] = {}
        self._seen = -1

    async def settle(self) -> None:
        """Begin jobs that wait, as far as there is room."""
        now = self._room.store.generation(JOBS)
        if now == self._seen:
            return
        self._seen = now
        for row in self._room.store.partition(JOBS, "jobs"):
            if row.key in self._running:
                continue
            if len(self._running) >= PARALLEL:
                return  # looked at again when one has ended: its row goes
            task = asyncio.create_task(self._run(row.key, orjson.loads(row.value)))
            self._running[row.key] = task

    async def finish(self) -> None:
        """Until nothing is left to do (tests)."""
        await self.settle()
        while self._running:
            await asyncio.gather(*self._running.values())
            self._seen = -1
            await self.settle()

    async def stop(self) -> None:
        tasks = list(self._running.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._seen = -1

    async def _run(self, key: bytes, work: dict[str, Any]) -> None:
        kind, _, name = keys.split(key)[2].decode().partition("/")
        work["job"] = name
        try:
            await self._attempt(kind, work)
        except (Unavailable, Conflict) as error:
            log.warning("dynamodb: %s %s is taken up again: %s", kind, name, error)
            await self._room.clock.sleep(RETRY_S)
        except Exception:
            log.exception("dynamodb: %s %s could not be ended", kind, name)
            await self._room.clock.sleep(BUG_S)
        finally:
            del self._running[key]
            self._seen = -1

    async def _attempt(self, kind: str, work: dict[str, Any]) -> None:
        try:
            await self._kinds[kind].run(work)
            return
        except (Unavailable, Conflict):
            raise
        except Failed as failed:
            reason = failed
        except AwsError as error:
            reason = Failed(error.code, error.message)
        except Exception:
            log.exception("dynamodb: %s %s failed", kind, work["job"])
            reason = Failed("InternalServerError", "The job failed; the server's log says why")
        log.warning("dynamodb: %s %s: %s", kind, work["job"], reason)
        await self._kinds[kind].fail(work, reason)
