"""That a node left for good, as an entry of each shard's log: row ``tablets / removed / NODE``.

A node may be away while it is removed, and send to the log before it hears of that. So its own
replica looks at each commit: from the group that brings this row on nothing is answered here, and
all others may rely on it: whoever has applied the row has applied everything that the node ever
acknowledged. No clock says how long a node may have been frozen.
"""

from __future__ import annotations

from typing import Any

from pileus.state import keys
from pileus.state.tx import Reader

TABLE = b"tablets"  # every shard has rows of its own there
GONE = b"gone"


def key(node: str) -> bytes:
    return keys.key(TABLE.decode(), "removed", node)


def told(reader: Reader, node: str) -> bool:
    """Whether the log whose rows these are has removed ``node``."""
    return reader.row(key(node)) is not None


class Removal:
    """One replica's watch for its own node's removal; called, it says whether that was applied."""

    def __init__(self, node: str, replica: Any) -> None:
        self._node = node
        self._fell = told(replica, node)

    def committed(self, replica: Any) -> None:
        """On the thread that committed, before anyone is answered."""
        if not self._fell and TABLE in replica.touched:
            self._fell = told(replica, self._node)

    def __call__(self) -> bool:
        return self._fell
