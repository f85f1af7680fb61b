"""What changed in a table between two places of the log: each item once, as it was and as it was
left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import apsw

from pileus.services.dynamodb.copying.records import records
from pileus.services.dynamodb.copying.snapshot import Walk
from pileus.services.dynamodb.history import Record
from pileus.state import keys

PAGE = 200


class Changed(NamedTuple):
    """An item's text before and after (None: absent), and the time of its last change."""

    old: bytes | None
    new: bytes | None
    at_ms: int


class Ledger:
    """First before-image and last time by item, in a file of SQLite's own that it deletes."""

    def __init__(self) -> None:
        self._c = apsw.Connection("")
        self._c.execute(
            "CREATE TABLE changed(item BLOB PRIMARY KEY, old BLOB, at INTEGER) WITHOUT ROWID"
        )
        self._c.execute("PRAGMA cache_size=-8192")

    def add(self, found: list[Record]) -> None:
        rows = [(r.item, r.old, r.at_ms) for r in found]
        with self._c:
            self._c.executemany(
                "INSERT INTO changed VALUES(?,?,?)"
                " ON CONFLICT(item) DO UPDATE SET at = max(at, excluded.at)",
                rows,
            )

    def after(self, item: bytes) -> list[tuple[bytes, bytes | None, int]]:
        """Some rows above ``item``, in order."""
        found: Any = self._c.execute(
            "SELECT item, old, at FROM changed WHERE item > ? ORDER BY item LIMIT ?", (item, PAGE)
        )
        return list(found.fetchall())

    def close(self) -> None:
        self._c.close()


async def changed(
    room: Any, rows: str, history: str, start: bytes, end: bytes
) -> AsyncIterator[list[Changed]]:
    """Items that writes from place ``start`` to below ``end`` touched; not those that came and went
    between."""
    ledger, walk = Ledger(), Walk(room, rows, history, end)
    prefix = keys.table_prefix(rows)
    try:
        async for found in records(room, history, start):
            mine = [r for r in found if r.place < end]
            await asyncio.to_thread(ledger.add, mine)
            if len(mine) < len(found):
                break
        at = b""
        while page := await asyncio.to_thread(ledger.after, at):
            now = [room.store.get(prefix + item) for item, _, _ in page]
            await walk.catch_up()
            out = []
            for (item, old, at_ms), text in zip(page, now, strict=True):
                later = walk.images.find(item)
                new = text if later is None else later[0]
                if old is not None or new is not None:
                    out.append(Changed(old, new, at_ms))
            yield out
            at = page[-1][0]
            await room.clock.sleep(0)
    finally:
        ledger.close()
        walk.close()
