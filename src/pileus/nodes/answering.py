"""Which nodes may have answered a client: those that a strong read asks (``log_asking``)."""

from __future__ import annotations

from typing import Any

from pileus.nodes import membership
from pileus.nodes.beats import Beats

REMOVED_MS = 600_000  # for so long a removed node might not know yet that it is


class Answering:
    """Looked up anew when a row of the nodes has changed."""

    def __init__(self, store: Any, clock: Any, beats: Beats) -> None:
        self._store, self._clock, self._beats = store, clock, beats
        self._generation = -1
        self._names: list[str] = []
        self._removed_ms = 0

    def members(self) -> list[str] | None:
        """Every node that takes part or soon will, in the order of their numbers; None where one of
        them is not heard now, or one was removed lately: then only the log can tell."""
        now = self._store.generation(membership.TABLE)
        if now != self._generation:
            rows = membership.rows(self._store)
            self._names = [r["name"] for r in rows if r["state"] != "gone"]
            removed = [r.get("since_ms", 0) for r in rows if r["state"] == "gone"]
            self._removed_ms = max(removed, default=0)
            self._generation = now
        if abs(self._clock.now_ms() - self._removed_ms) < REMOVED_MS:
            return None
        return self._names if self._beats.hears_all(self._names) else None
