"""A bit that turned in a state file is never answered; the state is made anew where it can be."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from pileus.engine.damage import damaged
from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.state import checkpoint, entry, keys, pages
from pileus.state.database import PAGE_BYTES, connect, connect_reader
from pileus.state.housekeeping import Housekeeping
from pileus.state.opening import open_store
from pileus.state.rebuild import given_up, wished
from pileus.state.replica import SqliteReplica
from pileus.state.rereading import Rereading
from pileus.state.shard import home_of
from pileus.state.store import Store
from pileus.state.tx import Tx
from pileus.state.verify import verify
from tests.state.test_sharded import LAYOUT, cell


def put(tx: Tx, args: list[bytes]) -> None:
    tx.put(*args)


def copy(tx: Tx, args: list[bytes]) -> None:
    row = tx.get(args[0])
    assert row is not None
    tx.put(args[1], row)


RULES = {"test.put": put, "test.copy": copy}
ROWS = {keys.key("t", "p", f"{n:03}"): b"%03d" % n * 400 for n in range(60)}
WANTED = keys.key("t", "p", "030")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A state whose rows are in no process's memory; nobody is ended by a signal."""
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(number))

    async def fill() -> None:
        store = await Store.open(tmp_path, RULES, SystemClock())
        for key, value in ROWS.items():
            await store.submit("test.put", [key, value])
        await store.close()

    asyncio.run(fill())
    assert not told
    return tmp_path


def turn_bit(file: Path, of: bytes, every: bool = False) -> None:
    """In the file's pages: of a row, or of each copy of it, also the journal's."""
    whole = bytearray(file.read_bytes())
    at = whole.find(of)
    assert at >= 0
    while at >= 0:
        whole[at + len(of) // 2] ^= 4
        at = whole.find(of, at + len(of)) if every else -1
    file.write_bytes(whole)


def row_of(home: Path, rows: dict[bytes, bytes] = ROWS) -> None:
    """Turn a bit of a row and of nothing else: the journal's pages stay as they are."""
    state, wanted = home / "state.db", rows[sorted(rows)[len(rows) // 2]]
    c = connect_reader(state)
    of_rows: Any = c.execute("SELECT pageno FROM dbstat WHERE name = 'rows'").fetchall()
    c.close()
    whole = state.read_bytes()
    places = [(number - 1) * PAGE_BYTES for (number,) in of_rows]
    [at] = [
        whole.find(wanted, start, start + PAGE_BYTES)
        for start in places
        if wanted in whole[start : start + PAGE_BYTES]
    ]
    with open(state, "r+b") as file:  # one byte: the file may be in use
        file.seek(at + 9)
        file.write(bytes([whole[at + 9] ^ 1]))


async def read_all(store: Store) -> dict[bytes, bytes | None]:
    return {key: store.get(key) for key in ROWS}


def test_a_turned_bit_is_not_answered_and_the_state_is_made_anew(home: Path) -> None:
    row_of(home)
    assert any("other bytes" in problem for problem in verify(home, RULES).problems)

    async def first() -> None:
        store = await Store.open(home, RULES, SystemClock())
        with pytest.raises(Unavailable, match="damaged"):
            await read_all(store)
        assert wished(home)
        await store.close()

    async def then() -> None:
        store = await Store.open(home, RULES, SystemClock())
        assert await read_all(store) == ROWS
        await store.submit("test.put", [WANTED, b"new"])
        await store.close()

    asyncio.run(first())
    asyncio.run(then())
    assert not wished(home) and not given_up(home)
    report = verify(home, RULES)
    assert report.ok and report.applied == len(ROWS) + 2, report.problems


@pytest.mark.parametrize("through", ["writer", "front", "rule"])
def test_a_bit_that_turns_under_a_running_cloud_is_noticed(home: Path, through: str) -> None:
    async def body() -> None:
        store = await Store.open(home, RULES, SystemClock())
        front = await Store.connect(home, SystemClock())
        assert (await read_all(store), await read_all(front)) == (ROWS, ROWS)
        row_of(home)
        await store.submit("test.put", [keys.key("t", "q"), b"more"])  # what was held is old now
        with pytest.raises(Unavailable, match="damaged"):
            if through == "rule":
                await store.submit("test.copy", [WANTED, keys.key("t", "q")])
            else:
                (store if through == "writer" else front).get(WANTED)
        assert wished(home)
        await front.close()
        await store.close()

    asyncio.run(body())


def test_it_is_made_anew_from_the_checkpoint_when_the_log_begins_there(home: Path) -> None:
    async def trimmed() -> None:
        store, blobs = await Store.open(home, RULES, SystemClock()), FileBlobs(home / "blobs")
        keeping = Housekeeping(
            store, blobs, SystemClock(), trim_entries=10, journal_entries=5, checkpoint_entries=20
        )
        await keeping.turn()
        await store.submit("test.put", [keys.key("t", "q"), b"later"])
        await store.close()
        blobs.close()

    asyncio.run(trimmed())
    assert checkpoint.every(home / "checkpoints")
    row_of(home)

    async def opened() -> dict[bytes, bytes | None]:
        store = await Store.open(home, RULES, SystemClock())
        try:
            return await read_all(store) | {b"q": store.get(keys.key("t", "q"))}
        finally:
            await store.close()

    with pytest.raises(Unavailable):
        asyncio.run(opened())
    assert asyncio.run(opened()) == ROWS | {b"q": b"later"}
    assert verify(home, RULES).ok


def test_a_damaged_journal_is_told_with_what_to_do(home: Path) -> None:
    turn_bit(home / "state.db", ROWS[WANTED], every=True)
    for _ in range(2):
        with pytest.raises(Unavailable, match="damaged") as refused:
            asyncio.run(Store.open(home, RULES, SystemClock()))
        assert "restore" in refused.value.hint
        assert given_up(home) and not wished(home)


def test_what_nobody_reads_is_read_again_from_time_to_time(home: Path) -> None:
    asyncio.run(Rereading([home]).read(home))
    assert not wished(home)
    row_of(home)
    with pytest.raises(Unavailable, match="damaged"):
        asyncio.run(Rereading([home]).read(home))
    assert wished(home)


def older(home: Path) -> None:
    """As a release without checksums left it."""
    whole = home / "older.db"
    source = sqlite3.connect(home / "state.db")
    made = sqlite3.connect(whole)
    made.executescript("PRAGMA page_size=4096; PRAGMA journal_mode=WAL;")
    made.executescript("\n".join(source.iterdump()))
    made.close()
    source.close()
    for left in home.glob("state.db*"):
        left.unlink()
    whole.rename(home / "state.db")
    assert not pages.has_checksums(home / "state.db")


@pytest.mark.parametrize("small", [True, False])
def test_an_older_home_opens_as_before_and_has_checksums_when_it_is_small(
    home: Path, small: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    older(home)
    if not small:
        monkeypatch.setattr(pages, "COPIED_BYTES_MAX", 1000)

    async def opened() -> None:
        store = await Store.open(home, RULES, SystemClock())
        front = await Store.connect(home, SystemClock())
        assert await read_all(front) == ROWS
        await store.submit("test.put", [WANTED, b"new"])
        assert front.get(WANTED) == b"new"
        await front.close()
        await store.close()

    asyncio.run(opened())
    assert pages.has_checksums(home / "state.db") == small
    assert verify(home, RULES).ok


def test_a_home_somebody_reads_gets_its_checksums_another_time(home: Path) -> None:
    older(home)
    reader = connect_reader(home / "state.db")
    assert reader.execute("SELECT count(*) FROM rows").get > len(ROWS)
    assert not pages.bring_up(home / "state.db", PAGE_BYTES)
    assert reader.execute("SELECT count(*) FROM rows").get > len(ROWS)
    reader.close()
    assert pages.bring_up(home / "state.db", PAGE_BYTES)
    assert (home / "state.db").stat().st_mode & 0o077 == 0
    assert verify(home, RULES).ok


def test_an_installation_that_cannot_write_checksums_does_not_open_what_has_them(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pages, "checked", lambda: pages.PLAIN)
    with pytest.raises(Unavailable, match="cksumvfs"):
        connect(home / "state.db")


def test_a_release_that_knows_no_checksums_may_write_in_between(home: Path) -> None:
    async def opened() -> dict[bytes, bytes | None]:
        store = await Store.open(home, RULES, SystemClock())
        try:
            return await read_all(store)
        finally:
            await store.close()

    without = SqliteReplica(home / "state.db", RULES, vfs=pages.PLAIN)
    without.apply_group(
        without.applied + 1, [entry.pack(0, "test.put", 1, b"", [k, b"older"]) for k in ROWS]
    )
    without.close()
    assert pages.has_checksums(home / "state.db")
    with contextlib.suppress(Unavailable):  # it reads a page as it opens, or later
        asyncio.run(opened())
    assert asyncio.run(opened()) == dict.fromkeys(ROWS, b"older")
    assert not wished(home) and not given_up(home)
    assert verify(home, RULES).ok


def test_one_shard_of_several_is_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: told.append(number))
    keyed = {cell("b", f"{n:03}"): b"%03d" % n * 400 for n in range(30)}
    rows: dict[bytes, bytes | None] = {}

    async def opened(fill: bool = False) -> None:
        store = await open_store(tmp_path, RULES, SystemClock(), shards=3, layout=LAYOUT)
        try:
            for key, value in keyed.items() if fill else ():
                await store.submit("test.put", [key, value])
            rows.update({key: store.get(key) for key in keyed})
        finally:
            await store.close()

    asyncio.run(opened(fill=True))
    second = home_of(tmp_path, 1)
    row_of(second, keyed)
    with pytest.raises(Unavailable, match="damaged"):
        asyncio.run(opened())
    assert wished(second) and not wished(tmp_path) and told
    asyncio.run(opened())
    assert rows == keyed and not wished(second)
    assert verify(tmp_path, RULES).ok


def test_a_full_disk_is_no_damage() -> None:
    assert not damaged(apsw.FullError()) and damaged(apsw.CorruptError())
    assert not damaged(apsw.IOError())


def test_who_asks_for_checksums_keeps_the_locks_of_a_file_that_is_open(home: Path) -> None:
    tried = (
        "import fcntl, sys\n"
        "file = open(sys.argv[1], 'rb+')\n"
        "fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 510, 0x40000002)"  # SQLite's shared lock
    )
    with contextlib.closing(connect(home / "state.db")) as connection:
        connection.execute("SELECT count(*) FROM rows").fetchall()
        assert pages.has_checksums(home / "state.db")
        other = subprocess.run(
            [sys.executable, "-c", tried, str(home / "state.db")], capture_output=True, check=False
        )
        assert b"BlockingIOError" in other.stderr, other


def test_a_state_killed_at_its_birth_is_found_to_have_checksums(home: Path, tmp_path: Path) -> None:
    killed = tmp_path / "killed"
    killed.mkdir()
    replica = SqliteReplica(home / "born.db", RULES)
    replica.apply_group(1, [entry.pack(0, "test.put", 1, b"", [next(iter(ROWS)), b"first"])])
    for end in ("", "-wal"):
        shutil.copyfile(home / f"born.db{end}", killed / f"state.db{end}")
    replica.close()
    assert not pages.bring_up(killed / "state.db", PAGE_BYTES)
    found = SqliteReplica(killed / "state.db", RULES)
    assert (found.applied, found.row(next(iter(ROWS)))) == (1, (next(iter(ROWS)), b"first", 1))
    found.close()
