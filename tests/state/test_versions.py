"""Rules that change their meaning: an upgrade, a mixed log, a release that is too old or too
new."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import pytest

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.simulated.clock import SteppedClock
from pileus.errors import Unavailable
from pileus.state import checkpoint, entry, keys, versions
from pileus.state.backup import backup, restore
from pileus.state.entry import STALE_VERDICT
from pileus.state.housekeeping import Housekeeping
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.store import Store
from pileus.state.tx import Tx
from pileus.state.verify import verify
from pileus.state.versions import RuleBook

K = keys.key("n", "n")


def adding(by: int) -> Rule:
    def add(tx: Tx, args: int) -> int:
        value = int(tx.get(K) or b"0") + args * by
        tx.put(K, str(value).encode())
        return value

    return add


FIRST = RuleBook({"add": adding(1)}, version=5)
SECOND = RuleBook({"add": adding(10)}, version=6)
BOTH = RuleBook({"add": adding(10)}, {5: {"add": adding(1)}}, version=6)


def run(home: Path, book: RuleBook, body: Callable[[Store], Awaitable[None]]) -> None:
    async def go() -> None:
        store = await Store.open(home, book, SteppedClock())
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(go())


async def one(store: Store) -> None:
    await store.submit("add", 1)


def test_each_version_of_a_rule_is_applied_to_the_entries_written_under_it(tmp_path: Path) -> None:
    run(tmp_path, FIRST, one)

    async def later(store: Store) -> None:
        assert await store.submit("add", 1) == 11
        assert store.tablets.rules == 6

    run(tmp_path, BOTH, later)
    report = verify(tmp_path, BOTH)
    assert report.ok and report.base == 0 and report.entries == 4, report


def test_what_older_rules_did_is_behind_a_checkpoint_after_the_upgrade(tmp_path: Path) -> None:
    run(tmp_path, FIRST, one)
    run(tmp_path, SECOND, one)
    report = verify(tmp_path, SECOND)
    assert report.ok and report.base == 2 and report.entries == 2, report
    for copy in checkpoint.every(tmp_path / "checkpoints"):
        copy.path.with_suffix(".json").unlink()
    assert "no checkpoint reaches it" in verify(tmp_path, SECOND).problems[0]


def test_the_copy_made_for_new_rules_takes_the_place_of_the_one_before(tmp_path: Path) -> None:
    third = RuleBook({"add": adding(100)}, version=7)
    for book in (FIRST, SECOND, third):
        run(tmp_path, book, one)
    assert len(checkpoint.every(tmp_path / "checkpoints")) == 2

    async def keep(store: Store) -> None:
        await Housekeeping(store, FileBlobs(tmp_path / "blobs"), SteppedClock()).checkpoint()

    run(tmp_path, third, keep)
    assert [c.sequence for c in checkpoint.every(tmp_path / "checkpoints")] == [4]
    report = verify(tmp_path, third)
    assert report.ok and report.base == 4, report


def test_an_older_release_does_not_touch_what_a_newer_one_wrote(tmp_path: Path) -> None:
    run(tmp_path, SECOND, one)
    with pytest.raises(Unavailable, match="rules of version 6"):
        run(tmp_path, FIRST, one)


def test_a_backup_goes_on_behind_a_change_of_rules(tmp_path: Path) -> None:
    home, target = tmp_path / "home", tmp_path / "backup"
    run(home, FIRST, one)
    backup(home, target)
    run(home, SECOND, one)
    assert backup(home, target).checkpoint
    restore(target, tmp_path / "again", SECOND)

    async def look(store: Store) -> None:
        assert store.get(K) == b"11"

    run(tmp_path / "again", SECOND, look)


def packed(version: int, rule: str = "add", args: int = 1) -> bytes:
    return entry.pack(0, rule, 1, b"", args, version)


def replica(book: Mapping[str, Rule] | RuleBook) -> SqliteReplica:
    return SqliteReplica(":memory:", book)


def test_an_entry_written_before_the_switch_and_logged_after_it_goes_back() -> None:
    r = replica(BOTH)
    switched = [packed(5), packed(5, versions.SWITCH, 6), packed(5), packed(6)]
    verdicts = r.apply_group(1, [packed(5, versions.SWITCH, 5), *switched])
    assert verdicts[3] == STALE_VERDICT
    assert [entry.open_verdict(verdicts[i]) for i in (1, 4)] == [1, 11]


def test_a_switch_down_or_to_the_same_version_changes_nothing() -> None:
    r = replica(BOTH)
    r.apply_group(1, [packed(6, versions.SWITCH, 6), packed(6, versions.SWITCH, 5)])
    assert versions.history(r) == [(6, 1)]


def test_entries_of_unknown_rules_stop_the_replica_and_change_nothing() -> None:
    for version in (4, 7):
        r = replica(SECOND)
        with pytest.raises(Unavailable, match=f"version {version}"):
            r.apply_group(1, [packed(6), packed(version)])
        assert r.applied == 0 and r.row(K) is None
