"""How many workers a function has: from zero to its limit and back.

A request takes an idle worker; if there is none it waits while one is started.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Coroutine
from typing import Any, Protocol

from pileus.errors import AwsError, Unavailable
from pileus.runtime import log
from pileus.runtime.function import INIT_FAILURE, FunctionSpec, Kept
from pileus.runtime.job import Job
from pileus.runtime.worker import Worker

PATIENCE_S = 0.02


class Node(Protocol):
    """What the fleets of one machine share."""

    starts_max: int

    def room(self) -> bool:
        """May one more worker be started?"""
        ...

    async def take(self) -> Worker:
        """A prepared enclosure. ``Unavailable`` when none can be built."""
        ...

    async def unpack(self, spec: FunctionSpec) -> tuple[str, str]:
        """The folders of its code and its layers."""
        ...

    def spawn_task(self, work: Coroutine[Any, Any, None]) -> None: ...
    def watch_memory(self) -> None: ...
    def on_idle(self) -> None: ...


class Fleet:
    """The workers of one function version, and who waits for one."""

    def __init__(self, spec: FunctionSpec, node: Node) -> None:
        self.spec = spec
        self.idle: list[Worker] = []
        self.busy: set[Worker] = set()
        self.waiting: deque[Job] = deque()
        self.starting = 0
        self.provisioned = 0
        self.trouble = ""  # why the last worker that was to be kept could not begin
        self.retired = False
        self._asked = 0
        self._given_up = False
        self._node = node

    @property
    def size(self) -> int:
        return len(self.idle) + len(self.busy) + self.starting

    def provide(self, count: int, asked: int) -> None:
        """Keep so many initialised workers. ``asked``: the number of the wish, of which there is
        another each time its owner asks; what failed before counts no more then."""
        if asked != self._asked:
            self._asked, self.trouble = asked, ""
        self.provisioned, self._given_up = count, False
        self.scale()

    def submit(self, job: Job) -> None:
        now_ms = log.now_ms()
        while self.idle:
            worker = self.idle.pop()
            if worker.usable(job.spec, now_ms):
                self._give(worker, job)
                return
            worker.kill()
        self.waiting.append(job)
        job.wait()
        self.scale()

    def _give(self, worker: Worker, job: Job) -> None:
        self.busy.add(worker)
        self._node.watch_memory()
        worker.deliver(job)

    def scale(self, patient: bool = True) -> None:
        """Start a worker for each waiting request no starting one will serve, within reason.

        A worker that answered but has not asked for more yet (Runtime API) will in a moment.
        """
        finishing = sum(w.job is None for w in self.busy) if patient and self.waiting else 0
        if finishing:
            asyncio.get_running_loop().call_later(PATIENCE_S, self.scale, False)
        kept = 0 if self._given_up else self.provisioned
        missing = kept - len(self.idle) - len(self.busy)
        wanted = max(len(self.waiting) - finishing, missing)
        while self.starting < min(wanted, self._node.starts_max) and self._node.room():
            self.starting += 1
            self._node.spawn_task(self._start())

    async def _start(self) -> None:
        worker: Worker | None = None
        try:
            code, layers = await self._node.unpack(self.spec)
            worker = await self._node.take()
            worker.on_free, worker.on_end = self._freed, self._ended
            await worker.specialise(self.spec, code, layers)
        except (Unavailable, AwsError, OSError, TimeoutError) as e:
            self._failed(worker, e)
            return
        finally:
            self.starting -= 1
        if worker.init_error is not None:
            self.trouble = INIT_FAILURE
            if self.waiting:
                worker.on_free = None
                worker.fail_init(self.waiting.popleft())
            else:
                self._given_up = True  # until it is wanted again: do not try for ever
            worker.kill()
        elif worker.alive:
            self.trouble = ""
            worker.idle_since = time.monotonic()
            self._freed(worker)
        self.scale()

    def _failed(self, worker: Worker | None, error: Exception) -> None:
        if worker is not None:
            worker.kill()
        hint = getattr(error, "hint", "")
        trouble = Unavailable(str(error) or type(error).__name__, hint)
        self.trouble = str(trouble)
        if self.waiting:
            self.waiting.popleft().done(trouble)

    def _freed(self, worker: Worker) -> None:
        self.busy.discard(worker)
        if self.waiting:
            job = self.waiting.popleft()
            self._give(worker, job)
        elif self.retired:
            worker.kill()
        else:
            self.idle.append(worker)
            self._node.on_idle()

    def _ended(self, worker: Worker) -> None:
        self.busy.discard(worker)
        if worker in self.idle:
            self.idle.remove(worker)
        self.scale()
        self._node.on_idle()

    def retire(self) -> None:
        """Its configuration is out of date: no new work, idle workers end."""
        self.retired = True
        self.provisioned = 0
        idle, self.idle = self.idle, []
        for worker in idle:
            worker.kill()

    def kept(self, asked: int) -> Kept:
        """What there is of the workers that are to be kept, and what keeps that wish from more."""
        ready = len(self.idle) + len(self.busy)
        allocated, available = min(self.provisioned, self.size), min(self.provisioned, ready)
        stuck = available < self.provisioned and asked == self._asked
        return Kept(allocated, available, self.trouble if stuck else "")

    def recycle(self, before: float) -> None:
        """End workers idle since ``before``, down to the provisioned number."""
        spare = len(self.idle) + len(self.busy) - self.provisioned
        for worker in [w for w in self.idle if w.idle_since < before][: max(0, spare)]:
            self.idle.remove(worker)
            worker.kill()
