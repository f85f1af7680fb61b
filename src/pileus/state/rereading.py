"""Every page of a state file is read again from time to time, so that a bit that turned where
nobody looks is found while there is something to mend it from.

Reading is looking: pages carry checksums (``pages``). A slice of rows at a time, on a connection
of its own with almost no cache, resting a hundred times as long as it reads.
"""

from __future__ import annotations

import asyncio
import logging
import time
from pathlib import Path
from typing import Any

import apsw

from pileus.errors import Unavailable
from pileus.state.database import STATE_FILE, connect_reader
from pileus.state.hurt import hurt

log = logging.getLogger("pileus.state.rereading")
EVERY_S = 600.0
REST = 100.0
CACHE_KIB = 256
# What is compared is read whole, and inside SQLite: nothing of it is brought here.
WALKS = (
    "SELECT max(id), sum(v = x'00') FROM"
    " (SELECT id, v FROM rows WHERE id > ? ORDER BY id LIMIT 500)",
    "SELECT max(k) FROM"
    " (SELECT k FROM rows INDEXED BY sqlite_autoindex_rows_1 WHERE k > ? ORDER BY k LIMIT 5000)",
    "SELECT max(first), sum(entries = x'00'), sum(results = x'00') FROM"
    " (SELECT first, entries, results FROM log WHERE first > ? ORDER BY first LIMIT 100)",
)
BEGIN: tuple[Any, ...] = (-(2**63), b"", -(2**63))


class Rereading:
    """Of the state files in ``homes``."""

    def __init__(self, homes: list[Path]) -> None:
        self._homes = homes

    async def run(self) -> None:
        """For ever."""
        while True:
            began = time.monotonic()
            for home in self._homes:
                try:
                    await self.read(home)
                except (apsw.Error, OSError, Unavailable) as error:
                    log.error("%s could not be read whole: %s", home / STATE_FILE, error)
            await asyncio.sleep(max(EVERY_S - (time.monotonic() - began), EVERY_S / 2))

    async def read(self, home: Path) -> None:
        """One file, from one end to the other; ``Unavailable`` when a page is damaged."""
        connection = connect_reader(home / STATE_FILE, cache_kib=CACHE_KIB)
        try:
            for sql, at in zip(WALKS, BEGIN, strict=True):
                while at is not None:
                    began = time.monotonic()
                    at = await asyncio.to_thread(_slice, connection, sql, at)
                    await asyncio.sleep(REST * (time.monotonic() - began))
        except apsw.Error as error:
            raise hurt(home, error) from error
        finally:
            connection.close()


def _slice(connection: apsw.Connection, sql: str, after: Any) -> Any:
    """Where it ended; None: there was nothing."""
    found: list[Any] = connection.execute(sql, (after,)).fetchall()
    return found[0][0]
