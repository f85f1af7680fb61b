"""An optimistic transaction: read freely, write at the end, retry when something read has changed
meanwhile."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.state.rules import range_digest
from pileus.state.tx import Reader, Row


class Draft:
    """Collects what a change read and what it wants to write. Handed to the function given to
    ``Store.transact``."""

    def __init__(self, reader: Reader, now_ms: int, several: bool = False) -> None:
        self.now_ms = now_ms
        self.several = several  # whether there are several shards
        self._reader = reader
        self._reads: dict[bytes, int] = {}
        self._ranges: list[list[Any]] = []
        self._writes: dict[bytes, bytes | None] = {}
        self._changes: list[list[Any]] = []

    def get(self, key: bytes) -> bytes | None:
        if key in self._writes:
            return self._writes[key]
        row = self._reader.row(key)
        self._reads.setdefault(key, row.version if row else 0)
        return row.value if row else None

    def get_json(self, key: bytes) -> Any | None:
        value = self.get(key)
        return None if value is None else orjson.loads(value)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        """Committed rows of the range (this draft's own writes are not merged in)."""
        rows = self._reader.range(start, end, limit, reverse)
        self._ranges.append([start, end, limit, reverse, range_digest(rows)])
        return rows

    def put(self, key: bytes, value: bytes) -> None:
        self._writes[key] = value

    def put_json(self, key: bytes, value: Any) -> None:
        self._writes[key] = orjson.dumps(value)

    def delete(self, key: bytes) -> None:
        self._writes[key] = None

    def change(self, topic: str, payload: bytes) -> None:
        self._changes.append([topic, payload])

    def args(self) -> dict[str, Any]:
        """The entry's arguments for the ``transact`` rule."""
        return {
            "reads": [[k, v] for k, v in self._reads.items()],
            "ranges": self._ranges,
            "puts": [[k, v] for k, v in self._writes.items() if v is not None],
            "deletes": [k for k, v in self._writes.items() if v is None],
            "changes": self._changes,
        }

    @property
    def wanted(self) -> tuple[dict[bytes, bytes | None], list[Any]]:
        """What it is to write, and the change records."""
        return self._writes, self._changes

    @property
    def empty(self) -> bool:
        return not self._writes and not self._changes
