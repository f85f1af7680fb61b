"""Which nodes can take work now, and where they answer: for services that are spread over them."""

from __future__ import annotations

import time
from pathlib import Path

from pileus.nodes.beats import view
from pileus.nodes.members import Members

KNOWN_S = 0.25


class Standing:
    """``services.longrunning.placing.Nodes`` of a cluster. ``told``: where the node's judgement of
    the others is written down."""

    def __init__(self, members: Members, told: Path) -> None:
        self._members = members
        self._told = told
        self._known: list[str] = []
        self._until = 0.0

    @property
    def name(self) -> str:
        return self._members.name

    def alive(self) -> list[str]:
        """Members that are neither down nor being drained, this node among them."""
        now = time.monotonic()
        if now >= self._until:
            judged = view(self._told)
            self._known = [
                node.name
                for node in self._members.present()
                if node.state == "member" and (node.name == self.name or _up(judged.get(node.name)))
            ]
            self._until = now + KNOWN_S
        return self._known

    def busy(self) -> dict[str, float]:
        """Each node's share of its processors in use, as it last said."""
        return {name: told.busy for name, told in view(self._told).items()}

    def load(self) -> dict[str, tuple[float, float]]:
        """Each node's share of its processors in use, and of the functions it may run at once."""
        return {name: (told.busy, told.workers) for name, told in view(self._told).items()}

    def api(self, name: str) -> tuple[str, int] | None:
        """Host and port of a node's AWS endpoint."""
        for node in self._members.present():
            if node.name == name:
                return node.address, node.port
        return None


def _up(judged: object) -> bool:
    return judged is not None and getattr(judged, "health", "down") != "down"
