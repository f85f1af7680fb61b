"""The service over a real store in a temporary directory, driven without a door."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
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
from tests.beds import Run, StepClock, over

ROOT = Principal.owner("123456789012")
START_MS = 1_700_000_040_000  # a whole minute
REGION = "us-east-1"


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
    clock = shared.clock if shared else StepClock(START_MS)
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


@pytest.fixture
def run(tmp_path: Path) -> Run[CloudWatchAlone]:
    """Run a coroutine function over a fresh service."""
    return over(lambda: opened(tmp_path))
