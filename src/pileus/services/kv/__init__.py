"""The wide table: rows, columns, bytes; the state's public face over signed HTTP and in Python."""

from __future__ import annotations

from pileus.services.call import Parts
from pileus.services.kv.cache import CachedTable
from pileus.services.kv.door import Door
from pileus.services.kv.rules import RULES
from pileus.services.kv.table import Table

__all__ = ["RULES", "CachedTable", "Door", "Table", "build"]


def build(parts: Parts) -> Door:
    """The door for ``/_pileus/kv``: ``access(request, principal)`` names what it needs,
    ``serve(request, principal)`` answers."""
    return Door(parts)
