"""Three machines in this process, with runtimes that say what they have room for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from pileus.runtime.function import (
    ANY,
    IDLE,
    NO_ROOM,
    RESERVED_LIMIT,
    FunctionSpec,
    Invocation,
    InvokeOutcome,
    NotBegun,
    Throttled,
)
from pileus.runtime.streaming import StreamedAnswer
from tests.services.lambda_.conftest import Cloud, RuntimeDouble
from tests.telemetry.neighbours import Neighbours

Shares = dict[str, tuple[float, float]]  # of processors, of workers


class View:
    """What one node knows of all: who takes work, and how busy they are."""

    def __init__(self, neighbour: Neighbours, drained: set[str], shares: Shares) -> None:
        self.name = neighbour.name
        self._neighbour, self._drained, self._shares = neighbour, drained, shares
        self._late: list[str] = []

    def alive(self) -> list[str]:
        up = self._late or [*self._neighbour.alive(), self.name]
        return [name for name in up if name not in self._drained]

    def hear_late(self) -> None:
        """From now on it does not hear that others went down."""
        self._late = self.alive()

    def load(self) -> dict[str, tuple[float, float]]:
        return self._shares


class Narrow(RuntimeDouble):
    """A runtime with ``workers``, of which ``idle`` are there already, and with what the spec says
    may run at once."""

    workers = 100
    running = idle = 0
    away = False

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.busy = asyncio.Event()

    def _begin(self, spec: FunctionSpec, invocation: Invocation) -> None:
        if self.away:
            raise NotBegun("the function runtime does not answer")
        if self.running >= spec.concurrency_max:
            raise Throttled(RESERVED_LIMIT)
        if self.running >= self.workers and invocation.worker < ANY:
            raise Throttled(NO_ROOM)
        if self.running >= self.idle and invocation.worker == IDLE:
            raise Throttled(NO_ROOM)
        self.running += 1
        self.busy.set()

    def _ended(self, _: Any) -> None:
        self.running -= 1
        if not self.running:
            self.busy.clear()

    async def invoke(self, spec: FunctionSpec, invocation: Invocation) -> InvokeOutcome:
        self._begin(spec, invocation)
        try:
            await asyncio.sleep(0.05)
            return await super().invoke(spec, invocation)
        finally:
            self._ended(None)

    async def stream(self, spec: FunctionSpec, invocation: Invocation) -> StreamedAnswer:
        self._begin(spec, invocation)
        answer = await super().stream(spec, invocation)
        answer.outcome.add_done_callback(self._ended)
        return answer


class Three:
    """``clouds[0]`` is the node that is asked."""

    def __init__(self, clouds: list[Cloud], neighbours: list[Neighbours]) -> None:
        self.clouds, self.neighbours = clouds, neighbours
        self.drained: set[str] = set()
        self.shares: Shares = {}

    @property
    def ran(self) -> list[int]:
        return [len(cloud.runtime.invoked) for cloud in self.clouds]

    def runtime(self, number: int) -> Narrow:
        made = self.clouds[number].runtime
        assert isinstance(made, Narrow)
        return made

    async def at_once(self, count: int, node: int = 0, name: str = "f") -> list[Any]:
        """So many invocations of one node: payloads, or errors."""
        asked = [self.clouds[node]("Invoke", FunctionName=name, Payload=b"1") for _ in range(count)]
        told = await asyncio.gather(*asked, return_exceptions=True)
        return [one if isinstance(one, BaseException) else one["Payload"] for one in told]


async def reserve(three: Three, count: int) -> None:
    for cloud in three.clouds:
        await cloud("PutFunctionConcurrency", FunctionName="f", ReservedConcurrentExecutions=count)


Body = Callable[[Three], Coroutine[Any, Any, None]]


def go(home: Path, body: Body, background: bool = False, **more: Any) -> None:
    """Run a coroutine function over three machines that have the function ``f``."""

    async def whole() -> None:
        async with AsyncExitStack() as stack:
            neighbours: list[Neighbours] = []
            clouds = [Cloud(home / str(n)) for n in range(3)]
            made = Three(clouds, neighbours)
            for number, cloud in enumerate(clouds, 1):
                cloud.home.mkdir()
                cloud.runtime = Narrow(clock=cloud.clock)
                cloud.others = neighbour = Neighbours(number, neighbours)
                cloud.nodes = View(neighbour, made.drained, made.shares)
                await cloud.open(background)
                stack.push_async_callback(cloud.close)
                await cloud.made("f", **more)
            await body(made)

    asyncio.run(asyncio.wait_for(whole(), 90))
