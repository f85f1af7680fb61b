"""Which nodes keep a blob: rendezvous hashing (Thaler, Ravishankar 1996). Every node computes the
same order from names alone, and a node that joins or leaves moves only its own share."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

COPIES = 3
SYNCED = 2  # disks that have it before anybody is told


def order(digest: str, nodes: Iterable[str]) -> list[str]:
    """``nodes`` as ``digest`` ranks them: the first ``COPIES`` are its owners."""
    return sorted(nodes, key=lambda node: _rank(digest, node), reverse=True)


def _rank(digest: str, node: str) -> bytes:
    return hashlib.blake2b(f"{node}\n{digest}".encode(), digest_size=16).digest()
