"""A home's two kinds of store in one process: the writer's and a front's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pileus.engine.embedded.clock import SystemClock
from pileus.state.store import Store


def with_stores(
    home: Path, body: Callable[[Store, Store], Awaitable[None]], rules: Any = None
) -> None:
    """Run ``body`` with the writer's store and a front's."""

    async def run() -> None:
        writer = await Store.open(home, rules or {}, SystemClock())
        front = await Store.connect(home, SystemClock())
        try:
            await body(writer, front)
        finally:
            await front.close()
            await writer.close()

    asyncio.run(run())
