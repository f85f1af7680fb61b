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
from pileus.services import logs
from pileus.services.call import Call, Parts, Principal
from pileus.services.logs import retention
from pileus.state.store import Store
from pileus.telemetry import Telemetry
from pileus.telemetry.copies import Copies
from pileus.telemetry.others import NoOthers, Others
from tests.beds import Run, StepClock, over

ROOT = Principal.owner("123456789012")


class LogsAlone:
    """Call operations by name: ``await cloud("CreateLogGroup", logGroupName="g")``."""

    def __init__(
        self, service: Any, clock: StepClock, store: Any, room: Any, copies: Copies
    ) -> None:
        self.service, self.clock, self.store = service, clock, store
        self._room, self.copies = room, copies

    async def __call__(self, operation: str, **params: Any) -> Any:
        answer = self.service.operations[operation](
            Call("logs", operation, ROOT, "us-east-1", params)
        )
        return await answer if inspect.isawaitable(answer) else answer

    async def put(self, *messages: str, group: str = "g", stream: str = "s") -> Any:
        events = [{"timestamp": self.clock.ms + i, "message": m} for i, m in enumerate(messages)]
        return await self(
            "PutLogEvents", logGroupName=group, logStreamName=stream, logEvents=events
        )

    async def made(self, group: str = "g", stream: str = "s") -> None:
        await self("CreateLogGroup", logGroupName=group)
        await self("CreateLogStream", logGroupName=group, logStreamName=stream)

    async def sweep(self) -> None:
        await retention.sweep(self._room)


@asynccontextmanager
async def opened(
    home: Path, others: Others | None = None, shared: Store | None = None
) -> AsyncIterator[LogsAlone]:
    """``others``: the other nodes; ``shared``: the state of another one, which is all nodes'."""
    clock = StepClock()
    store = shared or await Store.open(home, {}, clock)
    telemetry = Telemetry.open(home)

    async def no_dispatch(*args: Any, **kwargs: Any) -> dict[str, Any]:
        raise AssertionError("logs calls no other service")

    parts = Parts(store, None, clock, Config(home=home), no_dispatch, telemetry)
    parts.others = others or NoOthers()
    parts.copies = Copies(home)
    parts.others.offer(TAKE, parts.copies.take)
    service = logs.build(parts)
    assert service.start and service.stop
    await service.start()
    try:
        room = service.operations["PutLogEvents"].args[0]  # type: ignore[attr-defined]
        yield LogsAlone(service, clock, store, room, parts.copies)
    finally:
        await service.stop()
        parts.copies.close()
        telemetry.close()
        if shared is None:
            await store.close()


@pytest.fixture
def run(tmp_path: Path) -> Run[LogsAlone]:
    """Run a coroutine function over a fresh service."""
    return over(lambda: opened(tmp_path))
