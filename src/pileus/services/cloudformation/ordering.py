"""In which order a stack's resources are made, side by side where they may be, and removed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from pileus.services.cloudformation.intrinsics import dependencies

Record = dict[str, Any]


async def in_order(
    needs: dict[str, set[str]],
    one: Callable[[str], Awaitable[None]],
    given_up: asyncio.Event,
) -> None:
    """Run ``one`` for every name as soon as what it needs is done; the first failure stops new
    ones, and tells those under way by ``given_up``. Set from outside, that stops new ones too."""
    done: set[str] = set()
    running: dict[asyncio.Task[None], str] = {}
    failure: BaseException | None = None
    try:
        while len(done) < len(needs):
            if failure is None and not given_up.is_set():
                busy = set(running.values())
                for name in needs:
                    if name not in done and name not in busy and needs[name] <= done:
                        running[asyncio.ensure_future(one(name))] = name
            if not running:
                break
            finished, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                name = running.pop(task)
                error = task.exception()
                failure = failure or error
                if error is None:
                    done.add(name)
                else:
                    given_up.set()
    finally:  # told to stop: another process goes on from the rows
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failure is not None:
        raise failure


def removal_order(template: Record, records: list[Record]) -> list[Record]:
    """Dependents before what they depend on: what each needed when it was made, which the template
    may no longer tell. Rows of older stacks say nothing of it: for them the template does."""
    needs: dict[str, Any] = dict(dependencies(template["Resources"]))
    needs |= {r["logical"]: r["needs"] for r in records if "needs" in r}
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            depth[name] = 0
            depth[name] = 1 + max((measure(n) for n in needs.get(name, ())), default=0)
        return depth[name]

    return sorted(records, key=lambda r: measure(r["logical"]), reverse=True)
