"""Which tests may run at the same time, where pytest has several workers (``-n 2``).

Tests on three nodes are one group: one worker runs them, one after the other, and first, for they
take longest. Those that start, kill and measure clouds, jails or browsers of their own are another,
which the next worker begins with. Every other file is a group, for whoever is free.

The two groups meet nowhere: nodes have network namespaces and disks of their own (without root
addresses of their own, at ports below those of ``tests.ports``), the processes of a node a freezer
group of its own, and each home's workers control groups that bear its name.
"""

from __future__ import annotations

import functools
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
LARGE_ROOMS = ("acceptance", "console", "runtime", "supervisor")
STARTERS = ("own_cloud", "new_cloud")
NODES = ("three_nodes", "three_shards", "grown", "rigged", "import Rig")


@functools.cache
def is_large(file: Path) -> bool:
    """Whether the tests of ``file`` are of one of the two groups."""
    return file.parent.name in LARGE_ROOMS or any(s in file.read_text() for s in STARTERS)


@functools.cache
def on_nodes(file: Path) -> bool:
    """Whether the tests of ``file`` are of the group on three nodes."""
    return is_large(file) and any(name in file.read_text() for name in NODES)


class SideBySide(LoadScopeScheduling):
    """Hands out the groups in the order in which the tests were collected."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        path = ROOT / file
        return "nodes" if on_nodes(path) else "large" if is_large(path) else file
