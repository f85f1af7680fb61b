"""What services say of where their rows should lie."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.state import owned
from pileus.state.tx import Reader

FEW = 200
Layout = Sequence[tuple[bytes, int]]


def all_in_first(shards: int) -> Layout:
    return ((b"", 0),)


def for_itself(start: bytes, end: bytes) -> list[tuple[bytes, bytes]]:
    return [(start, end)]


@dataclass(frozen=True)
class Placing:
    """What services say of where their rows should lie. ``layout(shards)``: where a new map's
    tablets begin, in key order, and in which shard each lies. ``together(start, end)``: the ranges
    that should lie where this one does, itself among them. ``shared``: tables of which all shards
    have all rows."""

    layout: Callable[[int], Layout] = all_in_first
    together: Callable[[bytes, bytes], list[tuple[bytes, bytes]]] = for_itself
    shared: tuple[str, ...] = ()
    # The first key a rule touches that lies in one shard, from its arguments (None: not known): the
    # rule is sent there untried.
    homes: Mapping[str, Callable[[Any], bytes | None]] = field(default_factory=dict)

    def first(self, reader: Reader, shards: int) -> Layout:
        """The layout of a home that has nothing yet; what another has stays in shard 0, until
        tablets move."""
        found = reader.range(b"", owned.INFINITE, FEW)
        fresh = all(row.key.startswith(owned.LOCAL) for row in found)
        return self.layout(shards) if fresh else all_in_first(shards)
