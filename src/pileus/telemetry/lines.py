"""The second store: log lines and metrics, in volumes that must not tax the truth.

One SQLite file beside the state, appended by several processes. Writes are posted to a thread that
commits them at most ``COMMIT_S`` later with ``synchronous=FULL``, so what was posted is on disk
within one second: the one exception to "durable before the answer" (L1). Each service owns its
tables here and creates them with ``schema``.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pileus.errors import Unavailable

COMMIT_S = 0.25
PENDING_BYTES_MAX = 64 * 1024 * 1024
BUSY_MS = 10_000

Write = Callable[[sqlite3.Connection], None]


class Telemetry:
    """``post`` writes, ``flush`` them, ``query`` rows. Open with ``Telemetry.open(home)``."""

    def __init__(self, path: Path) -> None:
        self._writer = _connect(path)
        self._reader = _connect(path)
        self._read_lock = threading.Lock()
        self._wake = threading.Condition()
        self._pending: list[Write] = []
        self._pending_bytes = 0
        self._posted = 0
        self._committed = 0
        self._awaited = 0  # a reader waits for this many to be committed
        self._closing = False
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name="telemetry", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, home: Path) -> Telemetry:
        """The store at ``home/telemetry.db``, made when absent."""
        home.mkdir(parents=True, exist_ok=True)
        return cls(home / "telemetry.db")

    def schema(self, script: str) -> None:
        """Create a service's tables (``CREATE … IF NOT EXISTS``), committed before the return."""

        def create(connection: sqlite3.Connection) -> None:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)

        self.post(create)
        self.flush()

    def post(self, write: Write, size_bytes: int = 256) -> None:
        """Queue ``write(connection)`` for the next commit. Raises ``Unavailable`` when the disk
        refuses or the queue is full: nothing is then taken."""
        with self._wake:
            if self._closing:
                raise Unavailable("the telemetry store is closed", "the process is stopping")
            if self._pending_bytes + size_bytes > PENDING_BYTES_MAX:
                raise Unavailable("log lines arrive faster than the disk takes them", "slow down")
            if self._failure is not None and self._pending:
                raise Unavailable(
                    f"the telemetry store refuses writes: {self._failure}", "free disk space"
                )
            self._pending.append(write)
            self._pending_bytes += size_bytes
            self._posted += 1
            self._wake.notify_all()

    def insert(self, sql: str, rows: Sequence[Sequence[Any]], size_bytes: int) -> None:
        """Queue an ``executemany``."""
        self.post(lambda connection: _many(connection, sql, rows), size_bytes)

    def flush(self, timeout_s: float = 10.0) -> None:
        """Return when everything this process posted before is committed; ``Unavailable`` when it
        could not be."""
        with self._wake:
            target = self._posted
            self._awaited = max(self._awaited, target)
            self._wake.notify_all()
            done = self._wake.wait_for(lambda: self._committed >= target, timeout_s)
        if not done:
            raise Unavailable(f"log lines are not on disk yet: {self._failure}", "free disk space")

    def query(self, sql: str, args: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        """Committed rows. Blocking: call from a thread for anything but a point read."""
        with self._read_lock:
            if self._closing:  # a thread may still be on its way here when the process stops
                raise Unavailable("the telemetry store is closed", "the process is stopping")
            return self._reader.execute(sql, tuple(args)).fetchall()

    def close(self) -> None:
        """Commit what is queued and stop."""
        with self._wake:
            self._closing = True
            self._wake.notify_all()
        self._thread.join(timeout=15)
        with self._read_lock:
            self._reader.close()
        self._writer.close()

    # -- the writer thread ------------------------------------------------------------------

    def _run(self) -> None:
        while True:
            with self._wake:
                self._wake.wait_for(lambda: self._pending or self._closing)
                if not self._pending:
                    return
                # Let others join this commit, unless a reader waits.
                self._wake.wait_for(self._hurry, COMMIT_S)
                batch = list(self._pending)
                size = self._pending_bytes
            if self._commit(batch):
                self._done(len(batch), size)
            elif self._closing:
                return

    def _hurry(self) -> bool:
        return self._closing or self._awaited > self._committed

    def _commit(self, batch: list[Write]) -> bool:
        try:
            self._writer.execute("BEGIN IMMEDIATE")
            for write in batch:
                write(self._writer)
            self._writer.execute("COMMIT")
        except (sqlite3.Error, OSError) as error:
            with contextlib.suppress(sqlite3.Error):  # no transaction may be open
                self._writer.execute("ROLLBACK")
            with self._wake:
                self._failure = error
                self._wake.wait_for(lambda: self._closing, 0.5)
            return False
        return True

    def _done(self, count: int, size_bytes: int) -> None:
        with self._wake:
            del self._pending[:count]
            self._pending_bytes = max(0, self._pending_bytes - size_bytes)
            self._committed += count
            self._failure = None
            self._wake.notify_all()


def _many(connection: sqlite3.Connection, sql: str, rows: Sequence[Sequence[Any]]) -> None:
    connection.executemany(sql, rows)


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    _switch_to_wal(connection)
    connection.execute("PRAGMA synchronous=FULL")
    return connection


def _switch_to_wal(connection: sqlite3.Connection) -> None:
    """SQLite does not wait for a lock here: processes that make the file together take turns."""
    deadline = time.monotonic() + BUSY_MS / 1000
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.005)
