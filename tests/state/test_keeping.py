"""Archive, trim, checkpoint, verify, backup, restore, collect, split."""

from __future__ import annotations

import asyncio
import itertools
import os
import sqlite3
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.simulated.clock import SteppedClock
from pileus.errors import Unavailable
from pileus.state import backups, checkpoint, groups, keys, marks
from pileus.state import entry as codec
from pileus.state.backup import backup, restore
from pileus.state.collect import Collector
from pileus.state.database import connect, connect_reader
from pileus.state.entry import Corrupt
from pileus.state.housekeeping import Housekeeping
from pileus.state.replica import SqliteReplica
from pileus.state.store import Store
from pileus.state.tx import Tx
from pileus.state.verify import verify


def put(tx: Tx, args: list[bytes]) -> None:
    tx.put(*args)


def add(tx: Tx, args: int) -> int:
    value = int(tx.get(keys.key("n", "n")) or b"0") + args
    tx.put(keys.key("n", "n"), str(value).encode())
    return value


RULES = {"test.put": put, "test.add": add}
NAMED = 1  # the entry that names the rules of a new log


def run(home: Path, body: Callable[[Store, FileBlobs, SteppedClock], Awaitable[None]]) -> None:
    async def go() -> None:
        clock = SteppedClock()
        store = await Store.open(home, RULES, clock)
        clock.step(max(0, store.replica.log_ms - clock.now_ms()))
        blobs = FileBlobs(home / "blobs")
        try:
            await body(store, blobs, clock)
        finally:
            await store.close()
            blobs.close()

    asyncio.run(go())


async def write_some(store: Store, count: int, size: int = 100) -> None:
    await asyncio.gather(
        *(
            store.submit("test.put", [keys.key("t", str(i % 1000)), os.urandom(size)])
            for i in range(count)
        )
    )


async def put_blob(store: Store, blobs: FileBlobs, data: bytes, owner: bytes) -> str:
    digest = await blobs.put(data)
    await store.submit("write", [[keys.key("blobrefs", digest, owner), b""]])
    return digest


def test_the_log_tells_its_hash_at_every_ten_thousandth_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(marks, "EVERY", 100)
    home = tmp_path / "home"

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeper = Housekeeping(store, blobs, clock)
        assert not await keeper.mark()
        for _ in range(3):
            await write_some(store, 130)
            assert await keeper.mark()
            assert not await keeper.mark()
        # A mark that is not so: what another history would tell.
        with pytest.raises(Corrupt, match="between entries 201 and 300"):
            store.replica.marks.compare(Tx(store.replica, 1, 1, b""), [300, bytes(16)])

    run(home, fill)
    report = verify(home, RULES)
    assert report.ok, report.problems
    assert report.marks == 3
    # A rule that writes otherwise than it did: the replay parts from the log, and says where.
    other = {**RULES, "test.put": lambda tx, args: tx.put(args[0], args[1] + b"!")}
    replayed = SqliteReplica(tmp_path / "replay.db", other)
    connection = connect_reader(home / "state.db")
    found = list(groups.history(home / "archive", connection, 0))
    with pytest.raises(Corrupt, match="hash mark at entry 100"):
        for group in found:
            replayed.apply_group(group.first, group.entries)
    assert replayed.applied < 300
    connection.close()
    replayed.close()


def test_verify_finds_nothing_wrong_then_every_kind_of_damage(tmp_path: Path) -> None:
    digests = []

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        await write_some(store, 500)
        for i in range(3):
            digests.append(await put_blob(store, blobs, b"blob %d" % i, b"o"))
        report = verify(tmp_path, RULES)  # while it serves
        assert report.ok, report.problems
        assert report.applied == report.entries == NAMED + 503 and report.blobs == 3

    run(tmp_path, fill)
    blob = tmp_path / "blobs" / digests[0][:2] / digests[0]
    blob.write_bytes(b"blob x")
    (tmp_path / "blobs" / digests[1][:2] / digests[1]).unlink()
    problems = verify(tmp_path, RULES).problems
    assert len(problems) == 2 and "changed" in problems[0] and "missing" in problems[1]
    blob.write_bytes(b"blob 0")
    db = connect(tmp_path / "state.db")
    db.execute("UPDATE rows SET v = x'00' WHERE id = 7")
    assert any("rows" in p for p in verify(tmp_path, RULES).problems)
    db.execute("DELETE FROM log WHERE first = (SELECT min(first) FROM log WHERE first > 1)")
    db.close()
    assert any("missing from the log" in p for p in verify(tmp_path, RULES).problems)


def test_the_trimmed_log_is_archived_first_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.state.duplicates.WINDOW_ENTRIES", 100)
    monkeypatch.setattr("pileus.state.duplicates.BUCKET", 16)

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(
            store, blobs, clock, trim_entries=200, journal_entries=100, checkpoint_entries=1300
        )
        for _ in range(4):
            await write_some(store, 400)
            await keeping.trim()
        kept = await store.log.read(0, 10_000)  # type: ignore[union-attr]
        assert kept[0].sequence > 1000
        archived = groups.segments(tmp_path / "archive")
        assert archived[0].first == 1 and archived[-1].last == kept[0].sequence - 1
        assert verify(tmp_path, RULES).entries == NAMED + 1600
        # The checkpoint stands for the segments below it, and is the base from now on.
        await keeping.checkpoint()
        assert groups.segments(tmp_path / "archive") == []
        for _ in range(2):
            await write_some(store, 400)
            await keeping.turn()
        assert len(checkpoint.every(tmp_path / "checkpoints")) == 1
        segments = groups.segments(tmp_path / "archive")
        assert segments and segments[0].first == NAMED + 1601  # nothing below the checkpoint
        report = verify(tmp_path, RULES)
        assert report.ok and report.base == NAMED + 1600 and report.applied == NAMED + 2400, report

    run(tmp_path, fill)
    damaged = groups.segments(tmp_path / "archive")[-1].path
    data = bytearray(damaged.read_bytes())
    data[100] ^= 1
    damaged.write_bytes(data)
    assert "checksum" in verify(tmp_path, RULES).problems[0]


def test_long_entries_are_trimmed_by_their_bytes_beside_a_checkpoint_that_takes_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A journal was trimmed every twenty thousand entries, and not while a copy was made: of 30 KB
    each they grew to a third of the state, whose file kept the room."""
    begun, ended = threading.Event(), threading.Event()
    take = checkpoint.take

    def slowly(state: Path, directory: Path) -> checkpoint.Checkpoint:
        begun.set()
        assert ended.wait(60)
        return take(state, directory)

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(store, blobs, clock, checkpoint_entries=1, journal_bytes=100_000)
        copying = asyncio.ensure_future(keeping.checkpoint())
        await asyncio.to_thread(begun.wait, 60)
        for _ in range(20):
            for _ in range(3):
                await write_some(store, 1, 10_000)
            await keeping.keep_short()
        kept = await store.log.read(0, 10_000)  # type: ignore[union-attr]
        size = sum(len(e.data) for e in kept)
        assert 100_000 <= size < 240_000  # twice that, and a step
        assert groups.segments(tmp_path / "archive")[-1].last == kept[0].sequence - 1
        ended.set()
        await copying
        assert verify(tmp_path, RULES).ok
        await keeping.turn()  # few entries, and few bytes since: nothing is due
        assert await store.log.read(0, 10_000) == kept  # type: ignore[union-attr]

    monkeypatch.setattr(checkpoint, "take", slowly)
    run(tmp_path, fill)


def test_a_repeat_is_known_after_its_entry_has_left_the_journal(tmp_path: Path) -> None:
    answers = []

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(store, blobs, clock, trim_entries=50, journal_entries=20)
        answers.append(await store.submit("test.add", 5, b"r" * 16))
        for _ in range(30):
            await write_some(store, 10, 5000)
        assert await keeping.trim() > 250 and await keeping.trim() == 0
        left = await store.log.read(0, 1000)  # type: ignore[union-attr]
        assert [e.sequence for e in left] == list(range(left[0].sequence, NAMED + 302))
        assert left[0].sequence > 250

    async def again(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        answers.append(await store.submit("test.add", 5, b"r" * 16))

    run(tmp_path, fill)
    run(tmp_path, again)
    assert answers == [5, 5]
    report = verify(tmp_path, RULES)
    assert report.ok and report.entries == NAMED + 302, report


def test_the_archive_is_kept_for_a_backup_and_dropped_without_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.state.duplicates.WINDOW_ENTRIES", 100)
    monkeypatch.setattr("pileus.state.duplicates.BUCKET", 16)
    home, target = tmp_path / "home", tmp_path / "backup"

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(
            store, blobs, clock, trim_entries=200, journal_entries=100, checkpoint_entries=300
        )
        await write_some(store, 400)
        assert backup(home, target).last == NAMED + 400
        for _ in range(3):
            await write_some(store, 400)
            await keeping.trim()
            await keeping.checkpoint()
        assert backup(home, target).entries == 1200
        (home / "backups.json").unlink()
        await write_some(store, 700)
        await keeping.trim()
        await keeping.checkpoint()
        assert groups.segments(home / "archive") == []
        with pytest.raises(Unavailable, match="no longer goes back to entry 1601"):
            backup(home, target)

    run(home, fill)
    restore(target, tmp_path / "again", RULES)
    assert verify(tmp_path / "again", RULES).applied == NAMED + 1600


def test_a_backup_is_waited_for_as_long_as_is_set(tmp_path: Path) -> None:
    backups.note(tmp_path, tmp_path / "a", 500, now_s=1000)
    backups.note(tmp_path, tmp_path / "b", 700, now_s=5000)
    assert backups.waited_for(tmp_path, 6000, 900) == 500
    assert backups.waited_for(tmp_path, 6000, 900, patience_s=2000) == 700
    assert backups.waited_for(tmp_path, 6000, 900, patience_s=500) == 900


def test_backup_grows_and_restores_to_any_second(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "backup"
    moments: list[tuple[int, int]] = []
    digests: list[str] = []

    async def day(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        for _ in range(5):
            clock.step(1000)
            moments.append((clock.now_ms(), await store.submit("test.add", 1)))
        digests.append(await put_blob(store, blobs, os.urandom(5000), b"owner"))
        made = backup(home, target)
        assert made.blobs == 1

    for _ in range(3):
        run(home, day)
    assert len(checkpoint.every(target / "checkpoints")) == 1
    assert backup(home, target).entries == 0  # nothing is new
    newest = tmp_path / "newest"
    restore(target, newest, RULES)
    assert verify(newest, RULES).ok is True

    async def check(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        assert store.get(keys.key("n", "n")) == b"15"
        assert all(blobs.size(d) == 5000 for d in digests)
        assert await store.submit("test.add", 1) == 16

    run(newest, check)
    for moment, value in moments[5:]:
        earlier = tmp_path / f"at-{moment}"
        restore(target, earlier, RULES, until_ms=moment)
        db = sqlite3.connect(earlier / "state.db")
        (found,) = db.execute("SELECT v FROM rows WHERE k = ?", (keys.key("n", "n"),)).fetchone()
        db.close()
        assert int(found) == value
    with pytest.raises(Unavailable):
        restore(target, newest, RULES)
    with pytest.raises(Unavailable):
        restore(target, tmp_path / "too-early", RULES, until_ms=1)
    with pytest.raises(Unavailable):  # 'newest' has written what the backup does not know
        other = tmp_path / "other"
        run(other, lambda store, blobs, clock: write_some(store, 30))
        backup(other, target)


def test_a_backup_of_a_trimmed_log_restores_and_verifies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.state.duplicates.WINDOW_ENTRIES", 100)
    monkeypatch.setattr("pileus.state.duplicates.BUCKET", 16)
    home, target, restored = tmp_path / "home", tmp_path / "backup", tmp_path / "restored"

    async def fill(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(store, blobs, clock, trim_entries=100, journal_entries=100)
        for _ in range(3):
            await write_some(store, 400)
            await keeping.trim()
            backup(home, target)

    run(home, fill)
    restore(target, restored, RULES)
    report = verify(restored, RULES)
    assert report.ok and report.applied == NAMED + 1200, report
    assert report.rows_digest == verify(home, RULES).rows_digest


def test_the_collector_takes_only_what_nobody_names_for_an_hour(tmp_path: Path) -> None:
    async def body(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        named = await put_blob(store, blobs, b"named", b"owner")
        dropped = await blobs.put(b"dropped")
        fresh = await blobs.put(b"fresh")
        for digest in (named, dropped):
            os.utime(blobs.path(digest), (1, 1))
        collector = Collector(store, blobs, clock)
        assert await collector.sweep() == 0
        clock.step(3_601_000)
        assert await collector.sweep() == 1
        assert sorted(blobs.list()) == sorted([named, fresh])
        await store.submit("write", [[keys.key("blobrefs", named, b"owner"), None]])
        assert await collector.sweep() == 0
        clock.step(3_601_000)
        assert await collector.sweep() == 1
        assert blobs.list() == [fresh]

    run(tmp_path, body)


def test_tablets_split_when_they_grow_and_refuse_old_epochs(tmp_path: Path) -> None:
    async def body(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(store, blobs, clock, tablet_bytes_max=400_000)
        await write_some(store, 1000, 1000)
        assert await keeping.split() == 1
        left, right = store.tablets.tablets
        assert (left.end, left.epoch, right.epoch) == (right.start, 1, 1)
        inside = keys.key("t", "3")
        old = codec.pack(0, "test.put", clock.now_ms(), b"", [inside, b"stale"])
        outcome = await store.log.append(old)
        with pytest.raises(codec.StaleEpoch):
            codec.open_verdict(outcome.verdict)
        assert store.get(inside) != b"stale"
        await store.submit("test.put", [inside, b"routed anew"])
        assert store.get(inside) == b"routed anew"
        assert store.tablets.locate(inside) in (left, right)
        again = await keeping.split()
        assert again == 0  # not measured again before more was written
        await write_some(store, 2000, 1000)
        assert await keeping.split() >= 1
        tablets = store.tablets.tablets
        assert tablets[0].start == b"" and tablets[-1].end == b""
        assert all(a.end == b.start for a, b in itertools.pairwise(tablets))
        assert verify(tmp_path, RULES).ok

    run(tmp_path, body)


def test_a_huge_partition_splits_too(tmp_path: Path) -> None:
    async def body(store: Store, blobs: FileBlobs, clock: SteppedClock) -> None:
        keeping = Housekeeping(store, blobs, clock, tablet_bytes_max=100_000)
        rows = [[keys.key("t", "one", str(i)), bytes(1000)] for i in range(300)]
        await store.submit("write", rows)
        assert await keeping.split() == 1
        at = store.tablets.tablets[1].start
        assert keys.split(at)[:2] == ("t", b"one")
        assert len(store.partition("t", "one")) == 300

    run(tmp_path, body)
