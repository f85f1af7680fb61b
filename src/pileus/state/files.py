"""Rows of a home's state files, of all shards, read without its cloud: for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from pileus.state import owned, tablets
from pileus.state.database import STATE_FILE, Rows, connect_reader
from pileus.state.shard import homes
from pileus.state.tx import Row


class FileRows:
    """A ``Reader`` of committed rows: each from the shard that its tablet lies in."""

    def __init__(self, shards: list[Rows]) -> None:
        self._shards = shards
        self._map = tablets.load(shards[0])

    def row(self, key: bytes) -> Row | None:
        found = self.range(key, key + b"\x00", 1)
        return found[0] if found else None

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        if len(self._shards) == 1 or start.startswith((*owned.LOCAL, *self._map.shared)):
            return self._shards[0].range(start, end, limit, reverse)
        found: list[Row] = []
        within = self._map.within(start, end)
        for tablet in reversed(within) if reverse else within:
            low, high = max(start, tablet.start), min(end, tablet.end or end)
            rows = self._shards[tablet.shard].range(low, high, limit - len(found), reverse)
            found += rows
            if len(found) >= limit:
                break
        return found


@contextmanager
def file_rows(home: Path) -> Iterator[FileRows]:
    """As of the last commits; the cloud may run meanwhile."""
    with ExitStack() as stack:
        connections = [connect_reader(place / STATE_FILE) for place in homes(home)]
        for connection in connections:
            stack.enter_context(closing(connection))
        yield FileRows([Rows(connection) for connection in connections])
