"""A table as of one place in the log, read while it goes on changing.

The walk reads slices of the table as it is. After each slice it reads the history up to that
moment: an item in it is not taken from the slice, its before-image is given at the end. What
changes behind the walk was given already, as it was. So no read lasts longer than a slice, memory
is flat (the images lie in a temporary file), and a walk that dies is simply walked again: the place
stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import apsw

from pileus.services.dynamodb.copying.records import records
from pileus.state import keys

SLICE_ROWS = 100
REST = 1.0  # a walk rests as long as it works
REST_S_MAX = 0.5

Items = list[tuple[bytes, bytes]]  # (key within the table, text)


class Images:
    """First before-images by item, in a file of SQLite's own that it deletes."""

    def __init__(self) -> None:
        self._c = apsw.Connection("")
        self._c.execute("CREATE TABLE images(item BLOB PRIMARY KEY, old BLOB) WITHOUT ROWID")
        self._c.execute("PRAGMA cache_size=-8192")
        self.count = 0

    def add(self, rows: list[tuple[bytes, bytes | None]]) -> None:
        """Keep images of items that have none yet."""
        with self._c:
            self._c.executemany("INSERT OR IGNORE INTO images VALUES(?,?)", rows)
        self.count += len(rows)

    def find(self, item: bytes) -> tuple[bytes | None] | None:
        """The image in a tuple (None within: absent then), or None: unchanged since."""
        if not self.count:
            return None
        rows: Any = self._c.execute("SELECT old FROM images WHERE item = ?", (item,)).fetchall()
        return rows[0] if rows else None

    def present(self, after: bytes, limit: int) -> Items:
        """Images of items that were there, in order, above ``after``."""
        found: Any = self._c.execute(
            "SELECT item, old FROM images WHERE item > ? AND old IS NOT NULL ORDER BY item LIMIT ?",
            (after, limit),
        )
        return list(found.fetchall())

    def close(self) -> None:
        self._c.close()


class Walk:
    """Reads table ``rows`` as of ``place``; ``history`` "": nothing writes to it any more."""

    def __init__(self, room: Any, rows: str, history: str, place: bytes) -> None:
        self._room = room
        self._prefix = keys.table_prefix(rows)
        self._history = history
        self._place = place
        self.images = Images()

    async def catch_up(self, given: bytes = b"") -> None:
        """Learn what has changed until now. Items below ``given`` were given already."""
        if not self._history:
            return
        async for found in records(self._room, self._history, self._place):
            rows = [(r.item, None if r.item < given else r.old) for r in found]
            await asyncio.to_thread(self.images.add, rows)
            self._place = found[-1].place + b"\x00" if found else self._place

    async def items(self) -> AsyncIterator[Items]:
        """Every item once, some at a time, in no order."""
        clock, store = self._room.clock, self._room.store
        start, end = self._prefix, keys.after_prefix(self._prefix)
        cut = len(self._prefix)
        await self.catch_up()
        while True:
            began = clock.monotonic()
            slice_ = store.pairs(start, end, SLICE_ROWS)
            await self.catch_up(given=start[cut:])
            found = [(k[cut:], v) for k, v in slice_ if self.images.find(k[cut:]) is None]
            worked_s = clock.monotonic() - began  # who takes the items rests for his own work
            yield found
            if len(slice_) < SLICE_ROWS:
                break
            start = slice_[-1][0] + b"\x00"
            await clock.sleep(min(REST_S_MAX, REST * worked_s))
        after = b""
        while images := self.images.present(after, SLICE_ROWS):
            after = images[-1][0]
            yield images

    def close(self) -> None:
        self.images.close()
