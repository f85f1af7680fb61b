"""Which nodes keep blobs now: members, but not those that have been silent for too long.

A node that is down for ``patience_s`` counts as lost where three others are left: its blobs get
another owner, which fetches them. When it comes back it is an owner again.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from pileus.engine.cluster.placing import COPIES
from pileus.nodes import beats
from pileus.nodes.places import Node

STATES = ("member", "draining")
LOOK_S = 0.5


class Keeping:
    """One process's view. ``told``: where its node writes what it hears of the others."""

    def __init__(
        self, told: Path, patience_s: float, now_s: Callable[[], float] = time.time
    ) -> None:
        self._told = told
        self._now_s = now_s  # as the nodes' view is dated
        self._patience_ms = patience_s * 1000
        self._looked = -LOOK_S
        self._seen: dict[str, beats.Judgement] = {}

    def _view(self) -> dict[str, beats.Judgement]:
        now = time.monotonic()
        if now - self._looked >= LOOK_S:
            self._looked, self._seen = now, beats.view(self._told)
        return self._seen

    def down(self, name: str) -> bool:
        """Whether the node is not heard now."""
        seen = self._view().get(name)
        return seen is not None and seen.health == "down"

    def lost(self, name: str) -> bool:
        """Whether it has not been heard for so long that its copies are to be made elsewhere."""
        seen = self._view().get(name)
        if seen is None or seen.health != "down":
            return False
        return bool(self._now_s() * 1000 - seen.since_ms >= self._patience_ms)

    def keepers(self, nodes: Iterable[Node]) -> list[str]:
        """Names of the nodes that keep blobs."""
        members = [n.name for n in nodes if n.state in STATES]
        there = [name for name in members if not self.lost(name)]
        return there if len(there) >= COPIES else members
