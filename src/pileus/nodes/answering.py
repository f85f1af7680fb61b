"""Which nodes may have answered a client: those that a strong read asks (``log_asking``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.nodes import membership
from pileus.nodes.beats import Beats

REMOVED_S = 600.0  # for so long a removed node might not know yet that it is


class Answering:
    """Looked up anew when a row of the nodes has changed. No wall clock is asked: a removal is as
    old as this process has known of it."""

    def __init__(self, store: Any, monotonic: Callable[[], float], beats: Beats) -> None:
        self._store, self._monotonic, self._beats = store, monotonic, beats
        self._generation = -1
        self._names: list[str] = []
        self._gone: frozenset[str] = frozenset()
        self._answering: list[str] = []  # of those that are gone: not yet by every shard's word
        self._removed_s = -REMOVED_S

    def members(self) -> list[str] | None:
        """Every node that takes part or soon will, in the order of their numbers; None where one of
        them is not heard now, or one was removed lately, or not yet in every shard: then only the
        log can tell."""
        now = self._store.generation(membership.TABLE)
        if now != self._generation:
            self._look()
            self._generation = now
        if self._answering:
            self._answering = [n for n in self._answering if not self._fenced(n)]
        if self._answering or self._monotonic() < self._removed_s + REMOVED_S:
            return None
        return self._names if self._beats.hears_all(self._names) else None

    def _look(self) -> None:
        rows = membership.rows(self._store)
        self._names = [r["name"] for r in rows if r["state"] != "gone"]
        gone = frozenset(r["name"] for r in rows if r["state"] == "gone")
        if gone - self._gone:
            self._removed_s = self._monotonic()
        self._gone = gone
        self._answering = sorted(n for n in gone if not self._fenced(n))

    def _fenced(self, name: str) -> bool:
        return membership.fenced(self._store, name)
