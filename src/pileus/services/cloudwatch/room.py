"""What the operations of this service share."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.engine import Clock
from pileus.services.cloudwatch.across import Across
from pileus.services.cloudwatch.points import Points
from pileus.state.store import Store


@dataclass
class Room:
    """The parts this service works with. ``points`` are this node's, ``across`` all nodes'."""

    store: Store
    clock: Clock
    points: Points
    across: Across

    def now_s(self) -> float:
        return self.clock.now_ms() / 1000
