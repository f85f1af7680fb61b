"""What blocks of counters grew by: only the cells that did, so that a second with little to tell
costs little.
"""

from __future__ import annotations

from pileus.telemetry.histogram import CELLS, CLASSES
from pileus.telemetry.readings import Reading

PIECE = 8
Growth = dict[int, float]  # place in the block → by how much


def grown(at: int, old: Reading | None, new: Reading) -> Growth:
    """The growth of the block at ``at`` between two readings of one process."""
    if old is None or at + CELLS > len(old.cells):
        return {i: v for i, v in enumerate(new.cells[at : at + CELLS]) if v}
    before, after = old.raw, new.raw
    if after[8 * at : 8 * (at + CELLS)] == before[8 * at : 8 * (at + CELLS)]:
        return {}
    found: Growth = {}
    for piece in range(at, at + CELLS, PIECE):
        span = slice(8 * piece, 8 * (piece + PIECE))
        if after[span] != before[span]:
            for i in range(piece, piece + PIECE):
                more = new.cells[i] - old.cells[i]
                if more:
                    found[i - at] = more
    return found


def add(total: Growth, more: Growth, by: float = 1.0) -> None:
    """``total`` grows by ``more`` times ``by``."""
    for i, value in more.items():
        total[i] = total.get(i, 0.0) + value * by


def count(growth: Growth) -> float:
    """How many requests."""
    return sum(growth.get(i, 0.0) for i in range(CLASSES + 1, CLASSES + 6))
