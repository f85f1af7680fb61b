"""How a state file is opened: one place for its settings and its tables.

A rowid table with a UNIQUE binary key: WITHOUT ROWID stores a row longer than a quarter page in an
overflow page of its own, up to 4.6 times the disk. Pages of 4 KB: a small write copies half of what
it does with 8 KB, and a value longer than a page fills its overflow pages (an object of 4 KB takes
1.1 times its size, with 8 KB pages 1.9 times). Rows of just over 2 KB are worst, at 1.9 times.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import apsw

from pileus.state import pages
from pileus.state.tx import Row, as_row

WRITER_KIB, READER_KIB = 65536, 16384  # of a process: what its connections keep of pages
CACHE_KIB_MIN = 4096
PAGE_BYTES = 4096
STATE_FILE = "state.db"
BUSY_MS = 10_000
WAL_BYTES_KEPT = 64 * 1024 * 1024
TABLES = """
CREATE TABLE IF NOT EXISTS rows(id INTEGER PRIMARY KEY, k BLOB UNIQUE, v BLOB, ver INTEGER);
CREATE TABLE IF NOT EXISTS log(
  first INTEGER PRIMARY KEY, last INTEGER, log_ms INTEGER, chain BLOB, results BLOB, entries BLOB);
"""
ROW = "SELECT v, ver FROM rows WHERE k = ?"
VALUE = "SELECT v FROM rows WHERE k = ?"
RANGE = "SELECT k, v, ver FROM rows WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
PAIRS = "SELECT k, v FROM rows WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
CONTENTS = "SELECT v FROM rows WHERE k >= ? AND k < ? ORDER BY k LIMIT ?"
CONTENTS_REVERSE = "SELECT v FROM rows WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
PAIRS_REVERSE = "SELECT k, v FROM rows WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"
RANGE_REVERSE = "SELECT k, v, ver FROM rows WHERE k >= ? AND k < ? ORDER BY k DESC LIMIT ?"


def connect(
    path: Path | str, *, synchronous: str = "FULL", vfs: str | None = None
) -> apsw.Connection:
    """A connection that may write; a new file's pages have checksums, unless another ``vfs`` is
    said."""
    vfs = vfs or pages.vfs_of(path)
    c = apsw.Connection(str(path), vfs=vfs)
    c.set_busy_timeout(BUSY_MS)
    if vfs == pages.CHECKED:
        c.reserve_bytes(None, pages.RESERVED_BYTES)  # says nothing to a file that exists
    _keep_plans(c)
    for setting in (
        f"page_size={PAGE_BYTES}",
        "journal_mode=WAL",
        f"synchronous={synchronous}",
        f"cache_size=-{WRITER_KIB}",
        "wal_autocheckpoint=0",
        f"journal_size_limit={WAL_BYTES_KEPT}",
    ):
        c.execute(f"PRAGMA {setting}")
    c.execute(TABLES)
    return c


def connect_reader(
    path: Path | str, *, cache_kib: int = READER_KIB, vfs: str | None = None
) -> apsw.Connection:
    """A connection that sees committed rows only and cannot write."""
    vfs = vfs or pages.vfs_of(path)
    c = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs)
    c.set_busy_timeout(BUSY_MS)
    _keep_plans(c)
    c.execute("PRAGMA query_only=1")
    c.execute(f"PRAGMA cache_size=-{cache_kib}")
    c.execute("PRAGMA wal_autocheckpoint=0")
    return c


def _keep_plans(c: apsw.Connection) -> None:
    """Without this, SQLite (3.47 and later) looks at the value bound to ``LIMIT ?`` and prepares
    the statement anew on every execution: twice the price of a short range."""
    c.config(apsw.SQLITE_DBCONFIG_ENABLE_QPSG, 1)


def position(c: apsw.Connection) -> bytes:
    """Where a log kept elsewhere stood at the last commit (b"": none was ever told)."""
    if not c.execute("SELECT 1 FROM sqlite_master WHERE name = 'position'").fetchall():
        return b""
    found: Any = c.execute("SELECT told FROM position").fetchall()
    return bytes(found[0][0]) if found else b""


def keep_position(c: apsw.Connection, told: bytes) -> None:
    """Keep it, in the open transaction. The embedded log has none and makes no such table."""
    try:
        c.execute("INSERT OR REPLACE INTO position(id, told) VALUES(0, ?)", (told,))
    except apsw.SQLError:
        c.execute("CREATE TABLE position(id INTEGER PRIMARY KEY, told BLOB)")
        c.execute("INSERT INTO position(id, told) VALUES(0, ?)", (told,))


class Rows:
    """Rows of one connection. Every statement is run to its end: one left open would hold an old
    snapshot and keep the write-ahead log from being reused."""

    def __init__(self, connection: apsw.Connection) -> None:
        self._connection = connection
        self._row = connection.cursor()
        self._value = connection.cursor().execute
        self._range = connection.cursor()

    def keep_pages(self, whole_kib: int, shards: int) -> None:
        """Keep so much of the file in memory as is one shard's part of ``whole_kib``."""
        kib = max(CACHE_KIB_MIN, whole_kib // shards)
        self._connection.execute(f"PRAGMA cache_size=-{kib}")

    def value(self, key: bytes) -> bytes | None:
        """The bytes of a row alone."""
        found: bytes | None = self._value(VALUE, (key,)).get
        return found

    def values(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The bytes of several rows, all as of one moment."""
        with self._connection:  # a read transaction: the first read fixes what all of them see
            found = [self.value(key) for key in keys]
        return found

    def refresh(self) -> None:
        """The next read sees all that is committed: every read by itself does."""

    def row(self, key: bytes) -> Row | None:
        found: list[Any] = self._row.execute(ROW, (key,)).fetchall()
        return as_row((key, *found[0])) if found else None

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        sql = RANGE_REVERSE if reverse else RANGE
        found = self._range.execute(sql, (start, end, limit)).fetchall()
        return list(map(Row._make, found))

    def pairs(
        self, start: bytes, end: bytes, limit: int, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        """``range`` without versions, as SQLite gives it: (key, bytes)."""
        sql = PAIRS_REVERSE if reverse else PAIRS
        found: list[Any] = self._range.execute(sql, (start, end, limit)).fetchall()
        return found
