"""Tablets move between shards while they are used (S3, S7)."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import AwsError, Conflict
from pileus.state import keys, moving, owned
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from tests.state.test_sharded import cell, number, put, with_stores

ROWS = 500


def held(store: ShardedStore, table: str) -> list[int]:
    """How many rows of a table each shard has."""
    prefix = keys.table_prefix(table)
    end = keys.after_prefix(prefix)
    return [len(s.rows.range(prefix, end, 10_000)) for s in store.shards]


def test_a_tablet_moves_whole_under_writers_and_readers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(moving, "CHUNK_ROWS", 40)

    async def body(writer: ShardedStore, front: Store) -> None:
        await front.submit("write", [[cell("b", f"{i:04}"), b"0"] for i in range(ROWS)])
        await front.submit("write", [[cell("b", "x"), b"1000"], [cell("c", "x"), b"1000"]])
        written = {i: 0 for i in range(ROWS)}
        going = True

        async def churn(store: Store, mine: int) -> None:
            for turn in range(10_000):
                if not going:
                    return
                i = (turn * 7 + mine) % ROWS // 2 * 2 + mine
                if turn % 5 == 4:
                    await store.submit("write", [[cell("b", f"{i:04}"), None]])
                    written[i] = 0
                else:
                    written[i] = turn
                    await store.submit("write", [[cell("b", f"{i:04}"), str(turn).encode()]])
                if turn % 9 == 0:
                    await store.submit("test.give", [cell("b", "x"), cell("c", "x"), 1])
                both = store.values([cell("b", "x"), cell("c", "x")])
                assert sum(map(number, both)) == 2000

        async def moves() -> None:
            nonlocal going
            middle = cell("b", "0250")
            for start, target in ((b"b\x00", 2), (middle, 0), (middle, 1), (b"b\x00", 1)):
                await writer.mover.assign(start, b"b\x01", target)
            going = False

        await asyncio.gather(churn(writer, 0), churn(front, 1), moves())
        for i, wanted in written.items():
            assert number(front.get(cell("b", f"{i:04}"))) == wanted
        assert held(writer, "b")[0] == held(writer, "b")[2] == 0 and held(writer, "b")[1] > 100
        tablets = front.tablets.tablets
        assert all(a.end == b.start for a, b in itertools.pairwise(tablets))

    with_stores(tmp_path, body)


def test_a_row_keeps_its_version_and_never_meets_a_lower_one(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        for _ in range(20):
            await front.submit("write", [[cell("b"), b"1"]])
        before = front.row(cell("b"))
        await writer.mover.assign(b"b\x00", b"b\x01", 2)
        assert front.row(cell("b")) == before
        assert before is not None
        await front.submit("write", [[cell("b"), b"1"]])
        after = front.row(cell("b"))
        assert after is not None and after.version > before.version

    with_stores(tmp_path, body)


def test_a_repeat_after_a_move_has_one_effect(tmp_path: Path) -> None:
    one, two = [cell("b"), cell("b", "y"), 4], [cell("b"), cell("c"), 3]

    async def body(writer: ShardedStore, front: Store) -> None:
        await writer.transact(put(cell("b"), b"10"))
        assert await front.submit("test.give", one, b"1" * 16) == [6, 4]
        assert await front.submit("test.give", two, b"2" * 16) == [3, 3]
        await writer.mover.assign(b"b\x00", b"b\x01", 2)
        assert await front.submit("test.give", one, b"1" * 16) == [6, 4]
        assert await front.submit("test.give", two, b"2" * 16) == [3, 3]
        assert front.values([cell("b"), cell("b", "y"), cell("c")]) == [b"3", b"4", b"3"]

    with_stores(tmp_path, body)


def test_change_records_go_with_their_topic_and_keep_their_order(tmp_path: Path) -> None:
    topic = keys.partition_prefix("changes", "given")

    async def body(writer: ShardedStore, front: Store) -> None:
        await writer.transact(put(cell("b"), b"9"))
        for _ in range(3):
            await front.submit("test.give", [cell("b"), cell("c"), 1])
        for target in (2, 1, 2):
            await writer.mover.assign(topic, keys.after_prefix(topic), target)
            last = front.changes("given")[-1]
            await front.submit("test.give", [cell("b"), cell("c"), 2])
            assert [c[2] for c in front.changes("given", after=last[:2])] == [b"2"]
        assert [c[2] for c in front.changes("given")] == [b"1"] * 3 + [b"2"] * 3

    with_stores(tmp_path, body)


STEPS: dict[str, tuple[str, dict[str, Any]]] = {
    "move.arrive": ("target", {"source": 1}),
    "move.take": ("target", {"rows": [[cell("b"), b"old", 1]], "next": b"b\x01"}),
    "move.adopt": ("target", {"above": 1, "shut": True}),
    "move.open": ("target", {}),
    "move.leave": ("source", {"target": 0}),
    "move.freeze": ("source", {}),
    "move.drop": ("source", {}),
    "move.switch": ("first", {}),
    "move.moved": ("first", {}),
}


@pytest.mark.parametrize("target", [0, 2])
def test_a_mover_that_slept_through_the_next_moves_changes_nothing(
    tmp_path: Path, target: int
) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        mover, shards = writer.mover, writer.shards
        await front.submit("write", [[cell("b"), b"1"]])
        await mover.plan(b"b\x00", b"b\x01", target)
        (past,) = mover.plans
        await mover.advance()
        await mover.assign(b"b\x00", b"b\x01", 1)  # back to where it was
        await mover.plan(b"b\x00", b"b\x01", 2)
        (now,) = mover.plans
        at = await shards[2].ask("move.arrive", mover._step(now, shards[2], source=1))
        await shards[1].ask("move.leave", mover._step(now, shards[1], target=2))

        def stands() -> Any:
            ranges = [owned.load(shard.rows).ranges for shard in shards]
            return ranges, mover.plans, list(writer.tablets.tablets), held(writer, "b")

        before = stands()
        for rule, (where, more) in STEPS.items():
            shard = shards[{"first": 0, "source": 1, "target": target}[where]]
            args = mover._step(past, shard, at=at, **({"target": target} | more))
            with contextlib.suppress(Conflict):
                await shard.ask(rule, args)
            assert stands() == before, rule
        with pytest.raises(Conflict):
            await mover._carry_out(past)
        assert stands() == before
        await mover.advance()
        with pytest.raises(Conflict):
            await mover._carry_out(past)
        assert held(writer, "b") == [0, 0, 1] and front.get(cell("b")) == b"1"
        assert [owned.load(s.rows).find(cell("b")) is not None for s in shards] == [0, 0, 1]

    with_stores(tmp_path, body)


def test_a_mover_that_died_is_followed_by_the_next(tmp_path: Path) -> None:
    async def first(writer: ShardedStore, front: Store) -> None:
        await front.submit("write", [[cell("b", f"{i:04}"), b"0"] for i in range(ROWS)])
        for turns in range(0, 60, 3):
            task = asyncio.ensure_future(writer.mover.assign(b"b\x00", b"b\x01", 2 - turns % 2))
            for _ in range(turns):
                await asyncio.sleep(0.0005)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            await front.submit("write", [[cell("b", "last"), str(turns).encode()]])

    async def second(writer: ShardedStore, front: Store) -> None:
        await writer.mover.advance()
        assert sum(held(writer, "b")) == ROWS + 1 and 0 in held(writer, "b")
        assert front.get(cell("b", "last")) == b"57"
        assert writer.mover.plans == []

    with_stores(tmp_path, first, second)


def test_what_cannot_move_is_refused(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        for start, end, target in ((b"", b"", 1), (b"b\x00", b"b\x01", 3), (b"m", b"n", 1)):
            with pytest.raises(AwsError) as refused:
                await writer.mover.assign(start, end, target)
            assert refused.value.code == "InvalidMove"

    with_stores(tmp_path, body)
