"""The telemetry store: on disk within a second, from several processes, nothing half taken."""

import multiprocessing
import sqlite3
import subprocess
import sys
import time
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
time.sleep(60)
"""


def test_posted_rows_are_on_disk_within_a_second_of_a_kill(tmp_path: Path) -> None:
    children = [
        subprocess.Popen([sys.executable, "-c", CHILD, str(tmp_path)], stdout=subprocess.PIPE)
        for _ in range(2)
    ]
    for child in children:
        assert child.stdout and child.stdout.readline() == b"posted\n"
    time.sleep(1)
    for child in children:
        child.kill()
        child.wait()
        assert child.stdout
        child.stdout.close()
    with sqlite3.connect(tmp_path / "telemetry.db") as db:
        assert db.execute("SELECT count(*) FROM t").fetchone() == (400,)


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
    with pytest.raises(Unavailable, match="refuses writes"):
        store.insert("INSERT INTO t VALUES(?)", [(2,)], 10)
    blocker.execute("ROLLBACK")
    store.flush()
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
            child.join(30)
        assert [c.exitcode for c in children] == [0, 0, 0, 0]
