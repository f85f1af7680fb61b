"""Reads that share a turn's read transaction: never older than what was acknowledged, and never in
the way of the write-ahead log."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import apsw
import pytest

from pileus.engine.embedded.clock import SystemClock
from pileus.state import keys, wal
from pileus.state.database import connect_reader
from pileus.state.store import Store
from tests.state.both import with_stores
from tests.state.elsewhere import WriterElsewhere

K = keys.key("t", "p", "s")


def test_a_turn_sees_every_write_that_was_acknowledged_before_its_read(tmp_path: Path) -> None:
    async def run(writer: WriterElsewhere) -> None:
        writer.opened()
        front = await Store.connect(tmp_path, SystemClock())
        assert front.get(K) is None  # the turn's transaction begins; the loop never turns from here
        begun = front._reader._held
        for acknowledged in writer.begin():
            seen = front.get(K)
            assert seen is not None and int(seen) >= acknowledged
            row = front.row(K)
            assert row is not None and int(row.value) >= int(seen)
            assert front.range(K, K + b"\xff")[0].version >= row.version
            assert front.pairs(K, K + b"\xff")[0][1] >= row.value or acknowledged < 299
            assert int(front.values([K])[0] or b"0") >= int(row.value)
        assert front._reader._held > begun
        await front.close()

    with WriterElsewhere(tmp_path, 300, K) as writer:
        asyncio.run(run(writer))


def test_reads_of_a_turn_share_a_transaction_which_ends_with_it(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        await writer.submit("write", [[K, b"1"]])
        other = connect_reader(tmp_path / "state.db")
        other.set_busy_timeout(0)
        other.execute("SELECT 1 FROM rows").fetchall()
        for _ in range(3):
            assert front.get(K) == b"1" == writer.get(K)
            with pytest.raises(apsw.BusyError):
                other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            other.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)  # nobody holds anything
            await writer.submit("write", [[K, b"1"]])
        other.close()

    with_stores(tmp_path, body)


def test_a_failed_read_leaves_the_turn_as_good_as_new(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        await writer.submit("write", [[K, b"1"]])
        assert front.get(K) == b"1"
        front._connection.execute("ROLLBACK")  # as SQLite does by itself after some errors
        assert front.get(K) == b"1"
        await asyncio.sleep(0.01)
        assert front.get(K) == b"1"

    with_stores(tmp_path, body)


def test_the_log_starts_again_under_readers_that_never_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turns of reads follow each other at once in two readers; without their keeping quiet the
    file grows as long as they go on."""
    monkeypatch.setattr(wal, "WAL_PAGES", 100)
    written = lengths = 0

    async def body(writer: Store, front: Store) -> None:
        nonlocal written, lengths
        done = False

        async def read(store: Store) -> None:
            while not done:
                for i in range(10):
                    store.get(keys.key("t", str(i)))
                time.sleep(0.002)  # noqa: ASYNC251  (a turn has more to do than to read)
                await asyncio.sleep(0)

        reading = [asyncio.ensure_future(read(store)) for store in (writer, front)]
        for group in range(300):
            rows = [[keys.key("t", str((group * 31 + i) % 500)), bytes(2000)] for i in range(20)]
            await writer.submit("write", rows)
            while writer.replica.wal.passing:  # noqa: ASYNC110  (as long as the machine needs)
                await asyncio.sleep(0)
            lengths = max(lengths, writer.replica.wal.pages)
            written += 20
        done = True
        await asyncio.gather(*reading)

    with_stores(tmp_path, body)
    assert lengths < written / 2
