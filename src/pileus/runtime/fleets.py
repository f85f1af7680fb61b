"""All functions of a node: whose workers there are, as many as the machine bears.

A function over its concurrency is throttled at once, as on AWS. Workers idle for long are ended;
when the machine's limit is reached, the one idle for longest makes room.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any

from pileus.errors import Unavailable
from pileus.groups import cores
from pileus.runtime import environment
from pileus.runtime.fleet import Fleet
from pileus.runtime.function import (
    ANY,
    IDLE,
    NO_ROOM,
    RESERVED_LIMIT,
    UNRESERVED_LIMIT,
    FunctionSpec,
    Kept,
    Throttled,
)
from pileus.runtime.job import Job, Verdict
from pileus.runtime.launcher import Launcher
from pileus.runtime.unpack import CodeCache, folder_names
from pileus.runtime.worker import Setting, Worker

IDLE_S = 300.0
SWEEP_S = 5.0
MEMORY_WATCH_S = 0.05
WAIT_MAX_S = 60.0
WORKERS_MAX = 128
POOL_SIZE = 2


class Fleets:
    """All functions of this node."""

    def __init__(
        self,
        launcher: Launcher,
        cache: CodeCache,
        setting: Setting,
        workers_max: int = WORKERS_MAX,
        idle_s: float = IDLE_S,
    ) -> None:
        self._launcher = launcher
        self._cache = cache
        self._setting = setting
        self._workers_max = workers_max
        self._idle_s = idle_s
        self._fleets: dict[str, Fleet] = {}
        self._in_flight: dict[str, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._pool: deque[Worker] = deque()
        self._pool_wanted = asyncio.Event()
        self._pool_grown = asyncio.Event()
        self._pool_error: Unavailable | None = None
        self._watch: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self.also_in_use: Callable[[], set[str]] = set  # folders of code that others run
        self.starts_max = 2 * cores()
        self.invocations = 0
        self.cold_starts = 0
        self.throttles = 0

    async def start(self) -> None:
        """Build the first enclosure, which proves that functions can run. Raises
        ``Unavailable``."""
        await self._grow_pool()
        if self._pool_error is not None:
            raise self._pool_error
        self.spawn_task(self._fill_pool())
        self.spawn_task(self._sweep())

    def spawn_task(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._task_done)

    def _task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._loop.call_exception_handler(
                {"message": "runtime task failed", "exception": task.exception(), "task": task}
            )

    def fleet(self, spec: FunctionSpec) -> Fleet:
        """The fleet of ``spec``; a new one when its configuration was not seen before."""
        key = spec.key
        fleet = self._fleets.get(key)
        if fleet is None or fleet.retired:
            environment.language(spec.runtime)
            environment.check_architecture(spec)
            self._fleets[key] = fleet = Fleet(spec, self)
        elif fleet.spec.credentials.expires_ms < spec.credentials.expires_ms:
            fleet.spec = spec  # newer credentials for the workers to come
        return fleet

    def invoke(self, job: Job, fleet: Fleet) -> None:
        """Run ``job``; its ``done`` gets the outcome, ``Throttled`` or ``Unavailable``."""
        spec = job.spec
        counter = spec.arn if spec.reserved else f"unreserved/{spec.account}/{spec.region}"
        used = self._in_flight.get(counter, 0)
        if used >= spec.concurrency_max:
            self.throttles += 1
            job.done(Throttled(RESERVED_LIMIT if spec.reserved else UNRESERVED_LIMIT))
            return
        worker = job.invocation.worker
        if not fleet.idle and (worker == IDLE or (worker < ANY and self._full())):
            job.done(Throttled(NO_ROOM))
            return
        self._in_flight[counter] = used + 1
        self.invocations += 1
        reply = job.done

        def done(verdict: Verdict) -> None:
            self._in_flight[counter] -= 1
            if not self._in_flight[counter]:
                del self._in_flight[counter]
            if job.cold:
                self.cold_starts += 1
            reply(verdict)

        job.done = done
        job.asked = time.monotonic()
        fleet.submit(job)

    def forget(self, arn: str) -> None:
        for key in [k for k, f in self._fleets.items() if f.spec.arn == arn]:
            fleet = self._fleets[key]
            fleet.retire()
            if fleet.size == 0 and not fleet.waiting:
                del self._fleets[key]

    async def unpack(self, spec: FunctionSpec) -> tuple[str, str]:
        ready = self._cache.ready(spec.code, spec.layers)
        if ready is not None:
            return ready
        made = await asyncio.to_thread(self._cache.ensure, spec.code, spec.layers)
        in_use = {
            w
            for f in self._fleets.values()
            if f.size
            for w in folder_names(f.spec.code, f.spec.layers)
        }
        await asyncio.to_thread(self._cache.trim, in_use | set(made) | self.also_in_use())
        return made

    def _full(self) -> bool:
        """No worker more can be had before one has ended what it does."""
        fleets = self._fleets.values()
        return sum(f.size for f in fleets) >= self._workers_max and not any(f.idle for f in fleets)

    def room(self) -> bool:
        """May one more worker be started? When the node is full, the one idle for longest of all
        makes room; without an idle one the answer is no."""
        if sum(fleet.size for fleet in self._fleets.values()) < self._workers_max:
            return True
        idle = [(w.idle_since, f, w) for f in self._fleets.values() for w in f.idle]
        if not idle:
            return False
        _, fleet, worker = min(idle, key=lambda entry: entry[0])
        fleet.idle.remove(worker)
        worker.kill()
        return True

    def on_idle(self) -> None:
        """Someone may have waited for room."""
        for fleet in self._fleets.values():
            if fleet.waiting:
                fleet.scale()

    async def take(self) -> Worker:
        """A prepared enclosure from the pool. ``Unavailable`` when none can be built."""
        while not self._pool:
            self._pool_grown.clear()
            self._pool_wanted.set()
            await self._pool_grown.wait()
            if not self._pool and self._pool_error is not None:
                raise self._pool_error
        worker = self._pool.popleft()
        self._pool_wanted.set()
        return worker if worker.alive else await self.take()

    async def _fill_pool(self) -> None:
        while True:
            waiting = sum(f.starting for f in self._fleets.values())
            least = POOL_SIZE if self.invocations else 1  # nothing was ever called: one is enough
            if len(self._pool) >= max(least, min(waiting, self.starts_max)):
                self._pool_wanted.clear()
                await self._pool_wanted.wait()
                continue
            await self._grow_pool()
            if self._pool_error is not None:
                self._pool_wanted.clear()
                await self._pool_wanted.wait()

    async def _grow_pool(self) -> None:
        try:
            worker = Worker(await self._launcher.spawn(), self._setting)
            await worker.prepare()
            self._pool.append(worker)
            self._pool_error = None
        except (Unavailable, OSError, TimeoutError) as e:
            text = str(e) or "building a worker's jail took too long"
            self._pool_error = e if isinstance(e, Unavailable) else Unavailable(text)
        self._pool_grown.set()

    def watch_memory(self) -> None:
        if self._watch is None:
            self._watch = self._loop.call_later(MEMORY_WATCH_S, self._check_memory)

    def _check_memory(self) -> None:
        self._watch = None
        busy = [w for f in self._fleets.values() for w in f.busy]
        now = time.monotonic()
        for worker in busy:
            job = worker.job
            if job is not None and now - job.started > MEMORY_WATCH_S / 2 and worker.over_memory():
                worker.kill()
        if busy:
            self.watch_memory()

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            now = time.monotonic()
            self.on_idle()
            for key, fleet in list(self._fleets.items()):
                fleet.recycle(now - self._idle_s)
                self._give_up(fleet, now)
                if fleet.size == 0 and not fleet.waiting and not fleet.provisioned:
                    fleet.retire()  # callers that hold it will ask for a new one
                    del self._fleets[key]

    @staticmethod
    def _give_up(fleet: Fleet, now: float) -> None:
        while fleet.waiting and now - fleet.waiting[0].asked > WAIT_MAX_S:
            job = fleet.waiting.popleft()
            job.done(Unavailable("no worker became free in time", "the node is full"))

    def kept(self, arn: str, version: str, asked: int) -> Kept:
        """What there is of a version's provisioned workers; see ``Fleet.kept``."""
        for fleet in self._fleets.values():
            if fleet.provisioned and (fleet.spec.arn, fleet.spec.version) == (arn, version):
                return fleet.kept(asked)
        return Kept()

    def census(self) -> dict[str, int]:
        """Workers by what they do, and the invocations that wait for one."""
        fleets = self._fleets.values()
        return {
            "idle": sum(len(f.idle) for f in fleets),
            "busy": sum(len(f.busy) for f in fleets),
            "starting": sum(f.starting for f in fleets),
            "waiting": sum(len(f.waiting) for f in fleets),
            "pooled": len(self._pool),
        }

    def stats(self) -> dict[str, Any]:
        functions: dict[str, dict[str, int]] = {}
        for fleet in self._fleets.values():
            entry = functions.setdefault(
                fleet.spec.arn, {"idle": 0, "busy": 0, "starting": 0, "waiting": 0}
            )
            entry["idle"] += len(fleet.idle)
            entry["busy"] += len(fleet.busy)
            entry["starting"] += fleet.starting
            entry["waiting"] += len(fleet.waiting)
        return {
            "workers": self._launcher.running,
            "pooled": len(self._pool),
            "functions": functions,
            "invocations": self.invocations,
            "cold_starts": self.cold_starts,
            "throttles": self.throttles,
            "pool_error": str(self._pool_error or ""),
        }

    async def stop(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
        for fleet in self._fleets.values():
            fleet.retire()
            while fleet.waiting:
                fleet.waiting.popleft().done(Unavailable("the function runtime is stopping"))
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
