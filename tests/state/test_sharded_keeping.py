"""Archive, checkpoints, verify, backup and restore over several shards; tablets evened out."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import AwsError, Unavailable
from pileus.state import checkpoint, keys
from pileus.state.backup import backup, restore
from pileus.state.database import connect
from pileus.state.housekeeping import Housekeeping, evened
from pileus.state.opening import open_store, shards_of
from pileus.state.placing import Layout, Placing
from pileus.state.shard import homes
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.tablets import Tablet
from pileus.state.upkeep import Upkeep
from pileus.state.verify import verify
from tests.state.test_moves import held
from tests.state.test_sharded import RULES, cell, number, put, with_stores


def kept(store: Store, home: Path, **limits: int) -> Housekeeping:
    return Housekeeping(store, FileBlobs(home / "blobs"), SystemClock(), **limits)


def test_every_log_is_archived_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pileus.state.duplicates.WINDOW_ENTRIES", 100)
    monkeypatch.setattr("pileus.state.duplicates.BUCKET", 16)

    async def body(writer: ShardedStore, front: Store) -> None:
        keeping = kept(writer, tmp_path, trim_entries=40, journal_entries=20, checkpoint_entries=90)
        for table in "abc":
            await front.submit("write", [[cell(table), b"500"]])
        for _ in range(3):
            for source, target in ("ab", "bc", "ca"):
                args = [cell(source), cell(target), 1]
                await asyncio.gather(*(front.submit("test.give", args) for _ in range(4)))
                rows = [[cell(source, str(i)), b"x"] for i in range(30)]
                await asyncio.gather(*(front.submit("write", [row]) for row in rows))
            await keeping.turn()

    with_stores(tmp_path, body)
    places = homes(tmp_path)
    assert shards_of(tmp_path) == len(places) == 3
    assert all(checkpoint.every(p / "checkpoints") for p in places)
    report = verify(tmp_path, RULES)
    assert report.ok and report.base > 0, report
    damaged = connect(places[1] / "state.db")
    damaged.execute("UPDATE rows SET v = x'00' WHERE k = ?", (cell("b", "3"),))
    damaged.close()
    assert verify(tmp_path, RULES).problems == ["shard 1: the rows are not what the log says"]
    shutil.rmtree(places[2])
    assert "shard 2 is missing" in verify(tmp_path, RULES).problems


def test_a_log_that_is_out_of_reach_does_not_keep_the_others_from_being_trimmed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = Upkeep.mark

    async def mark(self: Upkeep) -> bool:
        if self.home.name == "1":
            raise Unavailable("no leader")
        return await whole(self)

    monkeypatch.setattr(Upkeep, "mark", mark)

    async def body(writer: ShardedStore, front: Store) -> None:
        keeping = kept(writer, tmp_path, trim_entries=40, journal_entries=20, checkpoint_entries=90)
        for table in "bc":
            for i in range(100):
                await front.submit("write", [[cell(table, str(i % 5)), b"x"]])
        with pytest.raises(Unavailable, match="no leader"):
            await keeping.turn()
        assert [bool(await shard.log.read(0, 1)) for shard in writer.shards] == [True, True, True]
        firsts = [(await shard.log.read(0, 1))[0].sequence for shard in writer.shards[1:]]
        assert firsts[0] == 1 < firsts[1], "only the log that answers was trimmed"

    with_stores(tmp_path, body)


def test_a_backup_taken_under_transfers_restores_whole_at_any_moment(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "backup"
    moments: list[int] = []

    async def busy(writer: ShardedStore, front: Store) -> None:
        for table in "abc":
            await writer.transact(put(cell(table), b"100"))
        await asyncio.to_thread(backup, home, target)
        going = True

        async def giver(source: str, to: str) -> None:
            while going:
                with contextlib.suppress(AwsError):  # it has nothing left to give
                    await front.submit("test.give", [cell(source), cell(to), 1])
                moments.append(SystemClock().now_ms())

        tasks = [asyncio.ensure_future(giver(*pair)) for pair in ("ab", "bc", "ca")]
        for _ in range(3):
            await asyncio.sleep(0.2)
            await asyncio.to_thread(backup, home, target)
        going = False
        await asyncio.gather(*tasks)

    with_stores(home, busy)
    assert moments
    chosen: list[Any] = [None, *moments[:: max(1, len(moments) // 5)]]
    for at in chosen:
        again = tmp_path / f"at-{at}"
        restore(target, again, RULES, until_ms=at)
        assert verify(again, RULES).ok

        async def body(writer: ShardedStore, front: Store) -> None:
            assert sum(map(number, writer.values(map(cell, "abc")))) == 300
            writer.crossing._lock_s = 0  # nobody is at work here any more
            await writer.crossing.sweep()
            txn = keys.table_prefix("txn")
            left = [s.rows.range(txn, keys.after_prefix(txn), 9) for s in writer.shards]
            assert left == [[], [], []]
            assert sum(map(number, front.values(map(cell, "abc")))) == 300

        with_stores(again, body)


def test_a_full_shard_gives_tablets_to_an_empty_one(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        keeping = kept(writer, tmp_path, tablet_bytes_max=200_000)
        for i in range(60):
            rows = [[cell("b", f"{i:03}{j:02}"), b"x" * 1000] for j in range(20)]
            await front.submit("write", rows)
        assert held(writer, "b") == [0, 1200, 0]
        for _ in range(12):
            keeping._measured = 0
            await keeping.turn(collect=False)
        shares = held(writer, "b")
        assert sum(shares) == 1200 and min(shares) > 150, shares
        assert len(front.range(b"b\x00", b"c\x00", 9999)) == 1200

    with_stores(tmp_path, body)


def test_who_should_go() -> None:
    a, b = Tablet(b"a\x00", 1, b"b\x00", 1, 1), Tablet(b"b\x00", 2, b"b\x01", 1, 1)
    assert evened([(a, 30), (b, 50)], 2, 40) == (b, 0)
    assert evened([(a, 30), (b, 50)], 2, 100) is None
    assert evened([(a, 50)], 2, 40) is None  # it would only change places
    whole = Tablet(b"", 0, b"", 0, 1)
    assert evened([(whole, 99)], 2, 40) is None


def test_a_home_with_one_shard_gets_more(tmp_path: Path) -> None:
    """What is there stays in shard 0, until tablets move."""

    async def alone() -> None:
        store = await open_store(tmp_path, RULES, SystemClock())
        assert type(store) is Store
        for table in "abc":
            await store.submit("write", [[cell(table), b"1"]])
        await store.submit("tablet.split", {"at": b"b\x00"})
        await store.close()

    async def several(writer: ShardedStore, front: Store) -> None:
        assert held(writer, "b") == [1, 0, 0]
        await writer.mover.assign(b"b\x00", b"b\x01", 2)
        assert front.values(map(cell, "abc")) == [b"1"] * 3 and held(writer, "b") == [0, 0, 1]

    asyncio.run(alone())
    with_stores(tmp_path, several)
    assert verify(tmp_path, RULES).ok


def test_shards_that_are_added_get_tablets_once(tmp_path: Path) -> None:
    def layout(shards: int) -> Layout:
        return [(b"", 0), (b"a\x00", 1), (b"a\x01", 0), (b"c\x00", shards - 1), (b"d\x00", 0)]

    placing = Placing(layout)

    async def opened(shards: int) -> Store:
        clock = SystemClock()
        return await open_store(tmp_path, RULES, clock, shards=shards, placing=placing)

    async def run() -> None:
        store = await opened(1)
        await store.submit("write", [[cell(table), b"1"] for table in "abc"])
        await store.close()
        store = await opened(2)
        assert isinstance(store, ShardedStore)
        assert held(store, "a") == [1, 0]
        await kept(store, tmp_path).move()
        assert held(store, "a") == held(store, "c") == [0, 1] and held(store, "b") == [1, 0]
        await store.mover.bring(b"a\x00", b"a\x01", 0)  # an operator wants it so
        await store.mover.bring(b"c\x00", b"d\x00", 0)
        await kept(store, tmp_path).move()
        assert held(store, "a") == held(store, "c") == [1, 0]
        await store.close()
        store = await opened(3)
        assert isinstance(store, ShardedStore)
        await kept(store, tmp_path).move()
        assert held(store, "c") == [0, 0, 1] and held(store, "b") == [1, 0, 0]
        assert store.values(map(cell, "abc")) == [b"1"] * 3
        await store.close()

    asyncio.run(run())
    assert verify(tmp_path, RULES).ok
