"""Waiting for a table to change, without asking again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from pileus.engine.embedded.generations import Generations


class Watches:
    """Who waits for which counter. All calls on one loop."""

    def __init__(self, generations: Generations) -> None:
        self._generations = generations
        self._callbacks: dict[int, list[Callable[[], None]]] = {}

    def __contains__(self, slot: int) -> bool:
        return slot in self._callbacks

    def add(self, slot: int, seen: int, callback: Callable[[], None]) -> None:
        """Call back once, when counter ``slot`` no longer stands at ``seen``."""
        self._callbacks.setdefault(slot, []).append(callback)
        # Looked at after it was added: a bump in between is either seen here or wakes us.
        if self._generations.at(slot) != seen:
            self.wake([slot])

    def wake(self, slots: list[int]) -> None:
        for slot in slots:
            for callback in self._callbacks.pop(slot, ()):
                callback()

    def interested(self, slots: set[int]) -> list[int]:
        """Those of ``slots`` somebody waits for. Safe on another thread."""
        return [slot for slot in slots if slot in self._callbacks]


def settle(future: asyncio.Future[None]) -> None:
    """A callback for ``Watches.add`` that ends a wait, if it still lasts."""
    if not future.done():
        future.set_result(None)
