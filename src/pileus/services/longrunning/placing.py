"""Which node runs which copy."""

from __future__ import annotations

from collections.abc import Sequence

HERE = "local"  # the name of the only node of a cloud on one machine


def place(name: str, copies: int, nodes: Sequence[str]) -> list[str]:
    """The node of each copy. ``nodes``: those that can run services, by name. Copies of a service
    go to as many nodes as there are; services start at different nodes."""
    if not nodes:
        return []
    ordered = sorted(nodes)
    first = sum(name.encode()) % len(ordered)
    return [ordered[(first + number) % len(ordered)] for number in range(copies)]
