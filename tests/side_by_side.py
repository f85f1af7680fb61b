"""Which tests may run at the same time, where pytest has several workers (``-n 2``).

Tests that start, kill and measure clouds, clusters, jails or browsers of their own are one group:
one worker runs them, one after the other. Every other file is a group, for whoever is free.
"""

from __future__ import annotations

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
LARGE_ROOMS = ("acceptance", "console", "runtime", "supervisor")
STARTERS = ("own_cloud", "new_cloud")


@functools.cache
def is_large(file: Path) -> bool:
    """Whether the tests of ``file`` are of the one group."""
    return file.parent.name in LARGE_ROOMS or any(s in file.read_text() for s in STARTERS)


class SideBySide(LoadScopeScheduling):
    """Hands out the groups in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return "large" if is_large(ROOT / file) else file
