"""Projections compiled to functions of an item."""

from __future__ import annotations

from functools import lru_cache

from pileus.services.dynamodb.expressions.grammar import projection
from pileus.services.dynamodb.expressions.paths import Names, Path, gather, overlap_fault
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.values import Item


class Projection:
    """A compiled projection: ``apply(item)`` answers what the paths name."""

    __slots__ = ("_flat", "heads", "names", "nested", "paths")

    def __init__(self, paths: list[Path], names: Names | None = None) -> None:
        self.paths = paths
        self.names = frozenset(names.used if names else ())
        self.nested = frozenset(names.nested if names else ())
        self.heads = frozenset(str(p[0]) for p in paths)
        self._flat = all(len(p) == 1 for p in paths)

    def apply(self, item: Item) -> Item:
        if self._flat:
            return {n: item[n] for (n,) in self.paths if n in item}  # type: ignore[index,misc]
        return gather(self.paths, item)


@lru_cache(maxsize=1024)
def _cached(text: str, pairs: tuple[tuple[str, str], ...]) -> Projection:
    names = Names(dict(pairs))
    paths = [names.path(node[1]) for node in projection(text)]
    for fault in (names.reserved, names.undefined):
        if fault:
            raise Fault(fault)
    overlap = overlap_fault(paths)
    if overlap:
        raise overlap
    return Projection(paths, names)


def compile_projection(text: str, names: dict[str, str] | None) -> Projection:
    """The compiled projection; ``Fault`` when it is malformed."""
    return _cached(text, tuple(names.items()) if names else ())


def named(attributes: list[str]) -> Projection:
    """A projection on whole attributes (the legacy ``AttributesToGet``)."""
    return Projection([(a,) for a in attributes])
