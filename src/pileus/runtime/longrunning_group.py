"""The copies of one service, brought to what is wished: started again, scaled, updated, put back.

An update starts one new copy at a time and takes an old one away for each new one that became
healthy, so that never fewer than the wished number serve. When new copies end or do not become
healthy ``TRIES`` times the old configuration stays, and what is told says why.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable
from typing import Any

from pileus.runtime.longrunning import (
    COMPLETED,
    FAILED,
    IN_PROGRESS,
    STOPPING,
    ServiceSpec,
    Wish,
)
from pileus.runtime.longrunning_copy import Copy, Platform

TRIES = 2  # of an update, before it is given up
STEADY_S = 10.0  # a copy that was healthy for so long is started again at once
BACKOFF_S, BACKOFF_MAX_S = 0.25, 30.0
EXITS_KEPT = 5


class Group:
    """Call ``wish`` when the wish changes. ``on_change`` is called whenever ``told`` may differ."""

    def __init__(self, wish: Wish, platform: Platform, on_change: Callable[[], None]) -> None:
        self.wished = wish
        self.copies: list[Copy] = []
        self.ending = False
        self.reason = ""  # why the last update was given up
        self.lines: list[tuple[str, list[tuple[int, str]]]] = []
        self._platform = platform
        self._on_change = on_change
        self._loop = asyncio.get_running_loop()
        self._tick_waits = False
        self._timer: asyncio.TimerHandle | None = None
        self._given_up = ""
        self._completed = ""
        self._tries = 0
        self._fails = 0
        self._next_start = 0.0
        self._restarts: dict[int, int] = {}
        self._exits: list[dict[str, Any]] = []
        # After a restart of the runtime in the middle of an update: first what ran well before.
        self._reviving = self._deploying()

    # -- what is wished ---------------------------------------------------------------------

    def _deploying(self) -> bool:
        spec, fallback = self.wished.spec, self.wished.fallback
        return fallback is not None and fallback.revision != spec.revision

    @property
    def goal(self) -> ServiceSpec:
        """The configuration that copies are brought to now."""
        spec, fallback = self.wished.spec, self.wished.fallback
        if fallback is None or not (self._reviving or spec.revision == self._given_up):
            return spec
        return dataclasses.replace(
            fallback, copies=spec.copies, health=spec.health, credentials=spec.credentials
        )

    def wish(self, wish: Wish) -> None:
        """Take over a new wish; the same one again changes nothing."""
        if wish.spec.revision != self.wished.spec.revision:
            self._tries = self._fails = 0
            self._next_start = 0.0
            self._reviving = False
            if wish.spec.revision != self._given_up:
                self._given_up = ""
        self.wished = wish
        by_revision = {s.revision: s for s in (wish.fallback, wish.spec) if s is not None}
        for copy in self.copies:
            known = by_revision.get(copy.spec.revision)
            if known is not None:  # what changes without a new copy
                copy.spec = dataclasses.replace(known, health=wish.spec.health)
        self.tick()

    def end(self) -> None:
        """Nothing of it is wished any more."""
        self.ending = True
        self.tick()

    # -- bringing it about ------------------------------------------------------------------

    def _soon(self) -> None:
        """A copy changed: look at it when what changed it is through."""
        if not self._tick_waits:
            self._tick_waits = True
            self._loop.call_soon(self.tick)

    def tick(self) -> None:
        """One step towards the wish."""
        self._tick_waits = False
        goal = self.goal
        live = [c for c in self.copies if c.state != STOPPING]
        new = [c for c in live if c.spec.revision == goal.revision]
        old = [c for c in live if c.spec.revision != goal.revision]
        count = 0 if self.ending else goal.copies
        if not count:
            for copy in live:
                copy.stop()
        elif old:
            self._replace(goal, new, old, count)
        else:
            for copy in _worst_first(new)[: max(0, len(new) - count)]:
                copy.stop()
            for _ in range(count - len(new)):
                self._start(goal)
        self._settle(goal, count)
        self._on_change()

    def _replace(self, goal: ServiceSpec, new: list[Copy], old: list[Copy], count: int) -> None:
        healthy = [c for c in new if c.healthy]
        for copy in _worst_first(old)[: max(0, len(healthy) + len(old) - count)]:
            copy.stop()
        if len(new) < count and len(healthy) == len(new):
            self._start(goal)

    def _settle(self, goal: ServiceSpec, count: int) -> None:
        """Is what was aimed for reached?"""
        same = all(c.spec.revision == goal.revision for c in self.copies if c.state != STOPPING)
        if not same or sum(c.healthy for c in self.copies) < count:
            return
        if self._reviving:
            self._reviving = False
            self._loop.call_soon(self.tick)
        else:
            self._completed = goal.revision

    def _start(self, spec: ServiceSpec) -> None:
        now = self._loop.time()
        if now < self._next_start:
            if self._timer is None or self._timer.when() < self._next_start:
                self._timer = self._loop.call_at(self._next_start + 0.001, self.tick)
            return
        taken = {c.number for c in self.copies}
        number = next(n for n in range(len(taken) + 1) if n not in taken)
        copy = Copy(spec, number, self._platform, self._soon, self._ended)
        self.copies.append(copy)
        copy.start()

    def _ended(self, copy: Copy) -> None:
        self.copies.remove(copy)
        self.lines.append((copy.id, copy.take_lines()))
        wanted = copy.state == STOPPING
        if not wanted:
            self._count_failure(copy)
        self._soon()

    def _count_failure(self, copy: Copy) -> None:
        exit_ = {
            "copy": copy.id, "number": copy.number, "revision": copy.spec.revision,
            "at_ms": int(time.time() * 1000), "reason": copy.last_exit,
        }  # fmt: skip
        self._exits = [exit_, *self._exits[: EXITS_KEPT - 1]]
        self._restarts[copy.number] = self._restarts.get(copy.number, 0) + 1
        steady = copy.healthy_at and time.monotonic() - copy.healthy_at > STEADY_S
        self._fails = 1 if steady else self._fails + 1
        wait = 0.0 if self._fails == 1 else min(BACKOFF_S * 2**self._fails, BACKOFF_MAX_S)
        self._next_start = self._loop.time() + wait
        if self._reviving:
            self._reviving = self._fails < TRIES
        elif self._deploying() and copy.spec.revision == self.wished.spec.revision:
            self._tries += 1
            if self._tries >= TRIES and not self._given_up:
                self._give_up(copy)

    def _give_up(self, copy: Copy) -> None:
        self._given_up = self.wished.spec.revision
        self.reason = f"copies of the new configuration end: {copy.last_exit}"
        self._fails, self._next_start = 0, 0.0
        for other in self.copies:
            if other.spec.revision == self._given_up:
                other.stop()

    # -- told -------------------------------------------------------------------------------

    def take_lines(self) -> list[tuple[str, list[tuple[int, str]]]]:
        """What the copies printed since the last call, by copy."""
        lines, self.lines = self.lines, []
        lines += [(copy.id, copy.take_lines()) for copy in self.copies]
        return [(copy, told) for copy, told in lines if told]

    def told(self) -> dict[str, Any]:
        spec = self.wished.spec
        state = COMPLETED if self._completed == spec.revision else IN_PROGRESS
        if self._given_up == spec.revision:
            state = FAILED
        return {
            "name": spec.name,
            "deployment": {
                "revision": spec.revision,
                "state": state,
                "reason": self.reason if state == FAILED else "",
                "failures": self._fails,
            },
            "copies": [
                c.told() | {"restarts": self._restarts.get(c.number, 0)}
                for c in sorted(self.copies, key=lambda c: c.number)
            ],
            "exits": self._exits,
            "ending": self.ending,
        }


def _worst_first(copies: list[Copy]) -> list[Copy]:
    """Those that serve least well first, the youngest before older ones."""
    return sorted(copies, key=lambda c: (c.healthy, -c.failures, -c.since_ms))
