"""What CloudFront's operations share: the store and its look-ups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from pileus.engine import Clock
from pileus.services.call import Call
from pileus.services.cloudfront import rows
from pileus.state import keys
from pileus.state.store import Store


@dataclass
class Room:
    """The parts this service works with."""

    store: Store
    clock: Clock

    def seconds(self) -> int:
        return self.clock.now_ms() // 1000

    def find(self, call: Call, kind: str, id_: str) -> dict[str, Any] | None:
        """The caller's resource, or None."""
        row = self.store.get_json(rows.key(kind, id_))
        return row if row is not None and row["account"] == call.account else None

    def page(
        self, call: Call, kind: str, marker: str, size: int
    ) -> tuple[list[tuple[str, dict[str, Any]]], str]:
        """Up to ``size`` + 1 of the caller's resources of a kind after ``marker``, and the id of
        the last within ``size``."""
        start, end = rows.span(kind)
        if marker:
            start = max(start, rows.key(kind, marker) + b"\x00")
        found: list[tuple[str, dict[str, Any]]] = []
        while len(found) <= size:
            stored = self.store.range(start, end, 200)
            for row in stored:
                value = orjson.loads(row.value)
                if value["account"] == call.account:
                    found.append((keys.split(row.key)[2].decode(), value))
            if len(stored) < 200:
                break
            start = stored[-1].key + b"\x00"
        found = found[: size + 1]
        return found, found[min(size, len(found)) - 1][0] if found else ""
