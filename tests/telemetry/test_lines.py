"""The telemetry store: on disk within a second, from several processes, nothing half taken."""

import multiprocessing
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.telemetry import Telemetry

TABLE = "CREATE TABLE IF NOT EXISTS t(x INTEGER)"
CHILD = """
import sys, time, pathlib
from pileus.telemetry import Telemetry
store = Telemetry.open(pathlib.Path(sys.argv[1]))
store.schema("CREATE TABLE IF NOT EXISTS t(x INTEGER)")
for i in range(200):
    store.insert("INSERT INTO t VALUES(?)", [(i,)], 10)
print("posted", flush=True)
time.sleep(300)
"""


def until(condition: Callable[[], bool]) -> None:
    """A bound, for machines that have more to do."""
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)


def rows(home: Path) -> int:
    with closing(sqlite3.connect(home / "telemetry.db")) as db:
        return int(db.execute("SELECT count(*) FROM t").fetchone()[0])


def test_posted_rows_are_on_disk_soon_and_outlive_a_kill(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout and child.stdout.readline() == b"posted\n"
    until(lambda: rows(tmp_path) == 400)  # nobody flushes
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()
    assert rows(tmp_path) == 400


def test_flush_makes_rows_readable(tmp_path: Path) -> None:
    store = Telemetry.open(tmp_path)
    store.schema(TABLE)
    store.insert("INSERT INTO t VALUES(?)", [(1,), (2,)], 10)
    store.flush()
    assert store.query("SELECT sum(x) FROM t") == [(3,)]
    store.close()
    with pytest.raises(Unavailable):
        store.insert("INSERT INTO t VALUES(?)", [(1,)], 10)


def test_a_locked_disk_refuses_loudly_and_recovers(tmp_path: Path) -> None:
    store = Telemetry.open(tmp_path)
    store.schema(TABLE)
    store.query("SELECT 1")
    store._writer.execute("PRAGMA busy_timeout=10")
    blocker = sqlite3.connect(tmp_path / "telemetry.db", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    store.insert("INSERT INTO t VALUES(?)", [(1,)], 10)
    with pytest.raises(Unavailable, match="not on disk yet"):
        store.flush(timeout_s=0.6)
    until(lambda: store._failure is not None)
    with pytest.raises(Unavailable, match="refuses writes"):
        store.insert("INSERT INTO t VALUES(?)", [(2,)], 10)
    blocker.execute("ROLLBACK")
    store.flush(timeout_s=60)
    assert store.query("SELECT x FROM t") == [(1,)]
    blocker.close()
    store.close()


def _open_at_once(home: Path, barrier: Any) -> None:
    barrier.wait()
    Telemetry.open(home).close()


def test_processes_may_make_the_file_together(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for number in range(15):
        barrier = context.Barrier(4)
        where = tmp_path / str(number)
        children = [context.Process(target=_open_at_once, args=(where, barrier)) for _ in range(4)]
        for child in children:
            child.start()
        for child in children:
            child.join(90)
        assert [c.exitcode for c in children] == [0, 0, 0, 0]
