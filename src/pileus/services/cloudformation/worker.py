"""Carries out stack operations in the background, one task per stack, in one process of the
cloud."""

from __future__ import annotations

import asyncio
import logging

import orjson

from pileus.services.call import Parts
from pileus.services.cloudformation import rows
from pileus.services.cloudformation.deploying import Operation
from pileus.state import keys

log = logging.getLogger("pileus.cloudformation")
RETRY_SECONDS = 2.0


class Worker:
    """Watches the work table; operations recorded before a crash are taken up again at start."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._task: asyncio.Task[None] | None = None
        self._running: dict[str, asyncio.Task[None]] = {}

    async def start(self) -> None:
        self._task = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Leave operations where their rows say; the next start continues them."""
        tasks = [*self._running.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _watch(self) -> None:
        seen = -1
        store = self._parts.store
        prefix = keys.table_prefix(rows.WORK)
        while True:
            generation = store.generation(rows.WORK)
            if generation != seen:
                seen = generation
                for row in store.range(prefix, keys.after_prefix(prefix)):
                    work = orjson.loads(row.value)
                    if work["stack"] not in self._running:
                        task = asyncio.create_task(self._carry_out(work["stack"]))
                        self._running[work["stack"]] = task
            await store.changed(rows.WORK, seen)

    async def _carry_out(self, stack_id: str) -> None:
        try:
            while (work := self._parts.store.get_json(rows.work_key(stack_id))) is not None:
                try:
                    await Operation(self._parts, work).run()
                except Exception:
                    log.exception("an operation on %s stopped; it is tried again", stack_id)
                    await asyncio.sleep(RETRY_SECONDS)
        finally:
            self._running.pop(stack_id, None)
