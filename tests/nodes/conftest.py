"""A founded home with its state, and a door that admits to it, without any process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from pileus.config import Config, load
from pileus.engine.embedded.clock import SystemClock
from pileus.nodes import entering, membership
from pileus.nodes.admitting import JoinDoor
from pileus.nodes.places import PORTS, Cluster
from pileus.services import vault
from pileus.services.iam.bootstrap import bootstrap
from pileus.state.store import Store
from tests.hub.conftest import run

__all__ = ["founded", "run"]


class SetClock(SystemClock):
    """The machine's clock, put forward by ``ahead_s``."""

    ahead_s = 0.0

    def now_ms(self) -> int:
        return super().now_ms() + int(self.ahead_s * 1000)

    def monotonic(self) -> float:
        return super().monotonic() + self.ahead_s


@dataclass
class Founded:
    config: Config
    cluster: Cluster
    store: Store
    clock: SetClock
    door: JoinDoor

    async def change(self, what: Callable[[Any], Any]) -> Any:
        return await self.store.transact(what)


def ports(first: int) -> dict[str, int]:
    return {name: first + i for i, name in enumerate(PORTS)}


@pytest.fixture
def founded(tmp_path: Path) -> Callable[[Callable[[Founded], Awaitable[None]]], None]:
    """Run a coroutine function with a founded cluster."""

    def go(test: Callable[[Founded], Awaitable[None]]) -> None:
        async def inside() -> None:
            home, clock = tmp_path / "first", SetClock()
            cluster = entering.found(load(home=home), ports(20_000))
            config = replace(load(home=home), host="127.0.0.1")
            store = await Store.open(home, {}, clock)
            try:
                await vault.prepare(store, clock, config)
                await bootstrap(store, clock, config)
                await store.transact(lambda draft: membership.found(draft, cluster))
                door = JoinDoor(store, clock, config, "1.0")
                await test(Founded(config, cluster, store, clock, door))
            finally:
                await store.close()

        asyncio.run(inside())

    return go
