"""The write-ahead log starts again under steady writing, and waits while somebody reads long."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pileus.state import entry, keys, wal
from pileus.state.database import connect_reader
from pileus.state.replica import SqliteReplica


def write(state: SqliteReplica, groups: int) -> None:
    """The background pass runs beside one group; how fast it runs is the machine's affair."""
    for _ in range(groups):
        state.tidy()
        at = state.applied + 1
        rows = [[keys.key("t", str((at * 31 + i) % 500)), bytes(2000)] for i in range(20)]
        state.apply_group(at, [entry.pack(0, "write", at, b"", rows)])
        while state.wal.passing:
            time.sleep(0.0002)


def test_the_file_stays_small_and_grows_only_beside_a_long_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "WAL_PAGES", 100)
    state = SqliteReplica(tmp_path / "state.db", {})
    write(state, 150)
    file = tmp_path / "state.db-wal"
    small = file.stat().st_size
    assert small < 1500 * 8192
    reader = connect_reader(tmp_path / "state.db")
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*), max(ver) FROM rows").fetchall()
    write(state, 100)
    assert state.wal.pages > 1000
    assert reader.execute("SELECT count(*), max(ver) FROM rows").fetchall() == before
    reader.execute("COMMIT")
    write(state, 30)
    assert state.wal.pages < 1000
    reader.close()
    state.close()
