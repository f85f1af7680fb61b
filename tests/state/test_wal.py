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


def test_what_it_grew_to_beside_a_long_read_is_given_back_though_nobody_writes_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a million writes and the checkpoint they were due, 1.3 GB of it stayed."""
    monkeypatch.setattr(wal, "WAL_BYTES_KEPT", 100_000)
    state = SqliteReplica(tmp_path / "state.db", {})
    file = tmp_path / "state.db-wal"
    reader = connect_reader(tmp_path / "state.db")
    reader.execute("BEGIN")
    before = reader.execute("SELECT count(*) FROM rows").fetchall()
    write(state, 50)
    long = file.stat().st_size
    assert long > 1_000_000 and state.wal.long

    def shorten() -> None:
        state.shorten()
        while state.wal.passing:
            time.sleep(0.0002)

    for _ in range(3):
        shorten()
    assert file.stat().st_size == long, "somebody reads it"
    assert reader.execute("SELECT count(*) FROM rows").fetchall() == before
    reader.execute("COMMIT")
    for _ in range(3):
        shorten()
    assert file.stat().st_size == 0 and not state.wal.long
    assert len(reader.execute("SELECT k FROM rows").fetchall()) > 400
    write(state, 1)
    reader.close()
    state.close()
    again = SqliteReplica(tmp_path / "state.db", {})
    assert again.applied == 51
    again.close()
