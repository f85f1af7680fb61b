"""What the operations of this service share."""

from __future__ import annotations

from dataclasses import dataclass

from pileus.engine import Clock
from pileus.services.call import Call
from pileus.services.cloudwatch.points import Points
from pileus.state.store import Store


@dataclass
class Room:
    """The parts this service works with."""

    store: Store
    clock: Clock
    points: Points

    def now_s(self) -> float:
        return self.clock.now_ms() / 1000


def place(call: Call) -> str:
    """Whose metrics and alarms, and where."""
    return f"{call.account}/{call.region}"
