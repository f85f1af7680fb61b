"""The store as services see it: read rows here, submit entries, learn when a table changed.

Reads are synchronous and see every write acknowledged before them (one machine: a committed read
is strong).
Writes are entries; the answer comes after the entry is durable and applied.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import orjson

from pileus.errors import Conflict
from pileus.state import keys
from pileus.state.draft import Draft
from pileus.state.rules import STATE_RULES, Rule
from pileus.state.tx import Row, Tx, change_key

T = TypeVar("T")
ATTEMPTS_MAX = 30


class _Rows:
    """Rows of one SQLite connection."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._c = connection

    def row(self, key: bytes) -> Row | None:
        found = self._c.execute("SELECT v, ver FROM rows WHERE k = ?", (key,)).fetchone()
        return None if found is None else Row(key, found[0], found[1])

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        order = "DESC" if reverse else "ASC"
        sql = f"SELECT k, v, ver FROM rows WHERE k >= ? AND k < ? ORDER BY k {order} LIMIT ?"
        return [Row(*r) for r in self._c.execute(sql, (start, end, limit))]


class Store:
    """One process's view of the state. Open with ``Store.open``; close with ``close``."""

    def __init__(self, path: Path, rules: Mapping[str, Rule], clock: Any) -> None:
        self._clock = clock
        self._rules = {**STATE_RULES, **rules}
        self._writer = self._connect(path)
        self._writer.execute(
            "CREATE TABLE IF NOT EXISTS rows"
            "(id INTEGER PRIMARY KEY, k BLOB UNIQUE, v BLOB, ver INTEGER)"
        )
        self._reader = _Rows(self._connect(path))
        self._sequence = self._writer.execute("SELECT coalesce(max(ver), 0) FROM rows").fetchone()[
            0
        ]
        self._generations: dict[str, int] = {}
        self._lock = threading.Lock()

    @classmethod
    async def open(cls, home: Path, rules: Mapping[str, Rule], clock: Any) -> Store:
        home.mkdir(parents=True, exist_ok=True)
        return cls(home / "state.db", rules, clock)

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        c = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        for pragma in (
            "page_size=8192",
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=10000",
        ):
            c.execute(f"PRAGMA {pragma}")
        return c

    # -- reads ---------------------------------------------------------------------------

    def get(self, key: bytes) -> bytes | None:
        row = self._reader.row(key)
        return None if row is None else row.value

    def get_json(self, key: bytes) -> Any | None:
        value = self.get(key)
        return None if value is None else orjson.loads(value)

    def row(self, key: bytes) -> Row | None:
        return self._reader.row(key)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        """Rows with start <= key < end in key order (or its reverse), at most ``limit``."""
        return self._reader.range(start, end, limit, reverse)

    def partition(self, table: str, partition: str | bytes, limit: int = 1_000_000) -> list[Row]:
        """All rows of one partition, in sort-key order."""
        prefix = keys.partition_prefix(table, partition)
        return self.range(prefix, keys.after_prefix(prefix), limit)

    def generation(self, table: str) -> int:
        """A number that grows whenever a row of ``table`` changes, in any process: the key to a
        safe cache.
        Read it before reading what you cache."""
        return self._generations.get(table, 0)

    def changes(
        self, topic: str, after: tuple[int, int] = (0, -1), limit: int = 100
    ) -> list[tuple[int, int, bytes]]:
        """Change records of ``topic`` above position ``after`` = (sequence, index)."""
        start = change_key(topic, after[0], after[1] + 1)
        end = keys.after_prefix(keys.partition_prefix("changes", topic))
        out = []
        for row in self.range(start, end, limit):
            at = keys.split(row.key)[2]
            out.append((int.from_bytes(at[:8], "big"), int.from_bytes(at[8:], "big"), row.value))
        return out

    # -- writes --------------------------------------------------------------------------

    def submit(self, rule: str, args: Any, request_id: bytes = b"") -> Awaitable[Any]:
        """Append one entry; the awaitable answers the rule's result once the entry is durable and
        applied here.
        A repeated ``request_id`` is answered with the first one's result. Raises the rule's
        ``AwsError`` or
        ``Conflict``; ``Unavailable`` when the entry could not be made durable."""
        return asyncio.get_running_loop().run_in_executor(
            None, self._apply_one, rule, args, request_id
        )

    async def transact(self, change: Callable[[Draft], T], request_id: bytes = b"") -> T:
        """Run ``change(draft)`` against current rows and commit what it wrote, if nothing it read
        has changed;
        otherwise run it again. Whatever ``change`` raises leaves the state untouched."""
        for attempt in range(ATTEMPTS_MAX):
            draft = Draft(self._reader, self._clock.now_ms())
            result = change(draft)
            if draft.empty:
                return result
            try:
                await self.submit("transact", draft.args(), request_id)
            except Conflict:
                await self._clock.sleep(0.001 * attempt)
                continue
            return result
        raise Conflict("too many conflicting writers")

    async def barrier(self) -> None:
        """After this, reads here see everything acknowledged anywhere before the call."""

    def _apply_one(self, rule: str, args: Any, request_id: bytes) -> Any:
        with self._lock:
            self._sequence += 1
            tx = Tx(_Rows(self._writer), self._sequence, self._clock.now_ms(), request_id)
            result = self._rules[rule](tx, args)
            self._writer.execute("BEGIN IMMEDIATE")
            for k, v in tx.writes.items():
                if v is None:
                    self._writer.execute("DELETE FROM rows WHERE k = ?", (k,))
                else:
                    self._writer.execute(
                        "INSERT INTO rows(k, v, ver) VALUES(?,?,?) ON CONFLICT(k)"
                        " DO UPDATE SET v=excluded.v, ver=excluded.ver",
                        (k, v, tx.sequence),
                    )
            self._writer.execute("COMMIT")
            for k in tx.writes:
                table = k[: k.index(b"\x00")].decode()
                self._generations[table] = self._generations.get(table, 0) + 1
            return result

    async def close(self) -> None:
        self._writer.close()
