"""The list of what a SELECT answers of each item."""

from __future__ import annotations

from pileus.services.dynamodb.expressions.paths import Path as Steps
from pileus.services.dynamodb.expressions.paths import follow
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.syntax import Node, Path
from pileus.services.dynamodb.values import Item


class Columns:
    """The projection list: (name in the answer, path)."""

    def __init__(self, nodes: tuple[Node, ...]) -> None:
        self.columns: list[tuple[str, Steps]] = []
        for node in nodes:
            if not isinstance(node, Path):
                raise invalid(f"Unexpected path component at {node.place}")
            self.columns.append((_column_name(node.steps), node.steps))
        names = [n for n, _ in self.columns]
        twice = next((n for n in names if names.count(n) > 1), None)
        if twice is not None:
            raise invalid(f"Duplicate identifiers in select clause: {twice}")
        self.heads = list(dict.fromkeys(str(p[0]) for _, p in self.columns))
        self.nested = frozenset(str(p[0]) for _, p in self.columns if len(p) > 1)

    def apply(self, item: Item) -> Item:
        """The columns that ``item`` has."""
        out: Item = {}
        for name, path in self.columns:
            value = follow(path, item)
            if value is not None:
                out[name] = value
        return out


def _column_name(steps: tuple[str | int, ...]) -> str:
    """A column is named from its path's last name on: ``m.k[0]`` is ``k[0]``."""
    last = max(i for i, s in enumerate(steps) if isinstance(s, str))
    return str(steps[last]) + "".join(f"[{s}]" for s in steps[last + 1 :])
