"""The service over a real store in a temporary directory, driven without a door."""

from __future__ import annotations

import asyncio
import inspect
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config
from pileus.nodes.handing import TAKE
from pileus.services import cloudwatch
from pileus.services.call import Call, Parts, Principal
from pileus.services.cloudwatch.actions import Actions
from pileus.services.cloudwatch.watching import Watching
from pileus.services.outbound import Outbound
from pileus.state.store import Store
from pileus.telemetry import Telemetry
from pileus.telemetry.copies import Copies
from pileus.telemetry.others import NoOthers, Others

ROOT = Principal("root", "123456789012", "arn:aws:iam::123456789012:root")
START_MS = 1_700_000_040_000  # a whole minute
REGION = "us-east-1"


class StepClock:
    """Time that passes when told."""

    def __init__(self) -> None:
        self.ms = START_MS

    def now_ms(self) -> int:
        return self.ms

    def monotonic(self) -> float:
        return self.ms / 1000

    async def sleep(self, seconds: float) -> None:
        self.ms += int(seconds * 1000)
        await asyncio.sleep(0)

    def random_bytes(self, n: int) -> bytes:
        return os.urandom(n)


class CloudWatchAlone:
    """Call operations by name; ``dispatched`` are the calls to other services."""

    def __init__(self, parts: Parts, clock: StepClock, dispatched: list[Any]) -> None:
        self.parts, self.clock, self.dispatched = parts, clock, dispatched
        self.service = cloudwatch.build(parts)
        room = self.service.operations["GetMetricData"].args[0]  # type: ignore[attr-defined]
        self.watching, self.actions = Watching(room), Actions(parts)

    async def __call__(self, operation: str, **params: Any) -> Any:
        call = Call("cloudwatch", operation, ROOT, REGION, params)
        answer = self.service.operations[operation](call)
        return await answer if inspect.isawaitable(answer) else answer

    @property
    def now_s(self) -> int:
        return self.clock.ms // 1000

    async def value(self, value: float, name: str = "Load", **datum: Any) -> None:
        data = [{"MetricName": name, "Value": value, **datum}]
        await self("PutMetricData", Namespace="Test", MetricData=data)

    async def state(self, name: str) -> str:
        kinds = ["MetricAlarm", "CompositeAlarm"]
        told = await self("DescribeAlarms", AlarmNames=[name], AlarmTypes=kinds)
        (alarm,) = told["MetricAlarms"] + told["CompositeAlarms"]
        return str(alarm["StateValue"])

    async def act(self) -> None:
        """Run the actions that are due."""
        await self.actions.queue.step()
        await self.actions.queue.settle()


@asynccontextmanager
async def opened(
    home: Path, others: Others | None = None, shared: CloudWatchAlone | None = None
) -> AsyncIterator[CloudWatchAlone]:
    """``others``: the other nodes; ``shared``: one of them, whose state and clock are all
    nodes'."""
    clock = shared.clock if shared else StepClock()
    store = shared.parts.store if shared else await Store.open(home, {}, clock)
    telemetry = Telemetry.open(home)
    dispatched: list[Any] = []

    async def dispatch(service: str, operation: str, params: Any, **how: Any) -> dict[str, Any]:
        dispatched.append((service, operation, params, how))
        return {}

    parts = Parts(store, None, clock, Config(home=home), dispatch, telemetry, outbound=Outbound())
    parts.others = others or NoOthers()
    parts.copies = Copies(home)
    parts.others.offer(TAKE, parts.copies.take)
    made = CloudWatchAlone(parts, clock, dispatched)
    try:
        yield made
    finally:
        await made.actions.queue.stop()
        parts.copies.close()
        telemetry.close()
        if shared is None:
            await store.close()


Run = Callable[[Callable[[CloudWatchAlone], Coroutine[Any, Any, None]]], None]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a coroutine function over a fresh service."""

    def go(body: Callable[[CloudWatchAlone], Coroutine[Any, Any, None]]) -> None:
        async def whole() -> None:
            async with opened(tmp_path) as service:
                await body(service)

        asyncio.run(whole())

    return go
