"""The store as services use it: one writer, other processes, repeats, conflicts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus.engine.embedded import front as front_log
from pileus.engine.embedded.clock import SystemClock
from pileus.engine.embedded.log import EmbeddedLog
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import entry, keys
from pileus.state.draft import Draft
from pileus.state.store import Store
from pileus.state.tx import Tx
from tests.state.both import with_stores

K = keys.key("t", "p", "s")


def count(tx: Tx, args: dict[str, int]) -> int:
    value = int(tx.get(K) or b"0") + args["by"]
    if value > args.get("max", 1 << 60):
        raise AwsError("TooMuch", "no more", 409, fields={"Value": value})
    tx.put(K, str(value).encode())
    tx.change("counts", str(value).encode())
    return value


def broken(tx: Tx, args: None) -> None:
    tx.put(K, b"half done")
    raise KeyError("a bug")


HERE, THERE = keys.key("t", "p", "here"), keys.key("t", "p", "there")


def move(tx: Tx, args: None) -> None:
    """One row, in one of two places."""
    old, new = (HERE, THERE) if tx.get(HERE) else (THERE, HERE)
    tx.delete(old)
    tx.put(new, b"it")


RULES = {"test.count": count, "test.broken": broken, "test.move": move}


def test_what_one_process_writes_every_process_reads(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        assert await front.submit("test.count", {"by": 2}) == 2
        assert writer.get(K) == b"2"
        assert await writer.submit("test.count", {"by": 3}) == 5
        assert front.get(K) == b"5"

    with_stores(tmp_path, body, RULES)


def test_several_rows_are_read_as_of_one_moment(tmp_path: Path) -> None:
    """Also when each row is again as it was before, at the moment it is looked at."""

    async def body(writer: Store, front: Store) -> None:
        assert isinstance(writer.log, EmbeddedLog)
        commit, moved = writer.log._commit, entry.pack(0, "test.move", 1, b"", None)

        def moving() -> Iterator[bytes]:
            for key in (HERE, THERE):
                yield key
                assert isinstance(commit([(moved, lambda outcome: None)]), list)

        for store in (writer, front):
            for _ in range(4):
                await writer.submit("test.move", None)
                assert sorted(store.values(moving()), key=str) == [None, b"it"]
        assert writer.values([HERE, THERE]) == front.values([HERE, THERE])

    with_stores(tmp_path, body, RULES)


def test_state_survives_a_restart(tmp_path: Path) -> None:
    async def first(writer: Store, front: Store) -> None:
        await asyncio.gather(*(front.submit("test.count", {"by": 1}) for _ in range(100)))

    async def second(writer: Store, front: Store) -> None:
        assert front.get(K) == b"100"
        assert len(front.changes("counts", limit=1000)) == 100

    with_stores(tmp_path, first, RULES)
    with_stores(tmp_path, second, RULES)


def test_a_refusal_travels_whole_and_writes_nothing(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        for store in (writer, front):
            with pytest.raises(AwsError) as refused:
                await store.submit("test.count", {"by": 2, "max": 1})
            e = refused.value
            assert (e.code, e.message, e.status, e.fields) == (
                "TooMuch",
                "no more",
                409,
                {"Value": 2},
            )
        assert writer.get(K) is None

    with_stores(tmp_path, body, RULES)


def test_a_broken_rule_answers_500_and_writes_nothing(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        with pytest.raises(AwsError) as failed:
            await front.submit("test.broken", None)
        assert failed.value.status == 500
        assert writer.get(K) is None
        assert await front.submit("test.count", {"by": 1}) == 1

    with_stores(tmp_path, body, RULES)


def test_a_repeat_has_one_effect_also_while_in_flight_and_after_a_restart(tmp_path: Path) -> None:
    request = b"r" * 16

    async def first(writer: Store, front: Store) -> None:
        answers = await asyncio.gather(
            *(s.submit("test.count", {"by": 1}, request) for s in (writer, front) * 5)
        )
        assert answers == [1] * 10

    async def second(writer: Store, front: Store) -> None:
        assert await front.submit("test.count", {"by": 1}, request) == 1
        assert await front.submit("test.count", {"by": 1}, b"q" * 16) == 2

    with_stores(tmp_path, first, RULES)
    with_stores(tmp_path, second, RULES)


def test_a_repeated_transaction_gets_the_first_answer_not_its_own_traces(tmp_path: Path) -> None:
    def create(draft: Draft) -> dict[str, str]:
        if draft.get(K) is not None:
            raise AwsError("AlreadyExists", "it exists")
        draft.put(K, b"1")
        return {"Created": "yes"}

    async def body(writer: Store, front: Store) -> None:
        assert await front.transact(create, b"a" * 16) == {"Created": "yes"}
        assert await front.transact(create, b"a" * 16) == {"Created": "yes"}
        with pytest.raises(AwsError):
            await front.transact(create, b"b" * 16)
        with pytest.raises(AwsError):
            await front.transact(create)

    with_stores(tmp_path, body, RULES)


def test_conflicting_transactions_all_count(tmp_path: Path) -> None:
    def add(draft: Draft) -> None:
        draft.put(K, str(int(draft.get(K) or b"0") + 1).encode())

    async def body(writer: Store, front: Store) -> None:
        await asyncio.gather(*(s.transact(add) for s in (writer, front) for _ in range(100)))
        assert writer.get(K) == b"200"

    with_stores(tmp_path, body, RULES)


def test_a_range_read_in_a_transaction_is_protected(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        prefix = keys.partition_prefix("t", "p")
        draft = Draft(front._reader, 0)
        draft.range(prefix, keys.after_prefix(prefix))
        draft.put(keys.key("u", "p"), b"1")
        await writer.submit("test.count", {"by": 1})
        with pytest.raises(Conflict):
            await front.submit("transact", draft.args())

    with_stores(tmp_path, body, RULES)


def test_generations_and_waiting_across_processes(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        for mine, other in ((writer, front), (front, writer)):
            seen = mine.generation("t")
            waiting = asyncio.ensure_future(mine.changed("t", seen, 60))
            await asyncio.sleep(0.02)
            assert not waiting.done()
            await other.submit("test.count", {"by": 1})
            assert mine.generation("t") > seen
            assert await waiting
        assert not await front.changed("t", front.generation("t"), 0.01)

    with_stores(tmp_path, body, RULES)


def test_change_records_in_order_and_paged(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        for _ in range(5):
            await writer.submit("test.count", {"by": 1})
        first = front.changes("counts", limit=3)
        rest = front.changes("counts", after=first[-1][:2])
        assert [c[2] for c in first + rest] == [b"1", b"2", b"3", b"4", b"5"]

    with_stores(tmp_path, body, RULES)


def test_when_the_writer_goes_a_front_fails_what_was_sent_and_finds_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(front_log, "HOLD_S_MAX", 60.0)  # however long the next one needs

    async def run() -> None:
        writer = await Store.open(tmp_path, RULES, SystemClock())
        front = await Store.connect(tmp_path, SystemClock())
        assert await front.submit("test.count", {"by": 1}, b"1" * 16) == 1
        # The writer's door goes away with an answer under way, as at a crash.
        lost = asyncio.ensure_future(front.submit("test.count", {"by": 1}, b"2" * 16))
        await asyncio.sleep(0)
        for peer in list(writer._door._peers):
            peer.transport.abort()
        with pytest.raises(Unavailable):
            await lost
        await writer.close()
        held = asyncio.ensure_future(front.submit("test.count", {"by": 10}))
        writer = await Store.open(tmp_path, RULES, SystemClock())
        await held
        again = await front.submit("test.count", {"by": 1}, b"2" * 16)
        assert again in (2, 12) and front.get(K) == b"12"
        await front.close()
        await writer.close()

    asyncio.run(run())


def test_a_home_with_a_long_path(tmp_path: Path) -> None:
    async def body(writer: Store, front: Store) -> None:
        assert await front.submit("test.count", {"by": 1}) == 1

    with_stores(tmp_path / ("long" * 20) / ("path" * 20), body, RULES)
