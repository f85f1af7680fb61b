"""Several shards in one store: the face of one, each key in its shard (S3, S5)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.embedded.clock import SystemClock
from pileus.errors import AwsError
from pileus.state import keys, sharing, spanning
from pileus.state.crossing import Ended
from pileus.state.database import READER_KIB, WRITER_KIB
from pileus.state.draft import Draft
from pileus.state.opening import connect_store, open_store
from pileus.state.placing import Placing
from pileus.state.shard import Shard
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.tx import Tx

# Tables a, b and c each have a shard of their own; everything else is in shard 0.
LAYOUT = [(b"", 0), (b"a\x00", 0), (b"b\x00", 1), (b"b\x01", 0), (b"c\x00", 2), (b"d\x00", 0)]


def cell(table: str, name: str = "x") -> bytes:
    return keys.key(table, "p", name)


def number(value: bytes | None) -> int:
    return int(value or b"0")


def give(tx: Tx, args: list[Any]) -> list[int]:
    """Move an amount from one account to another; refused where there is not enough."""
    source, target, amount = args
    left = number(tx.get(source)) - amount
    if left < 0:
        raise AwsError("TooLittle", "not enough", 409)
    tx.put(source, str(left).encode())
    there = number(tx.get(target)) + amount
    tx.put(target, str(there).encode())
    tx.change("given", str(amount).encode())
    return [left, there]


def broken(tx: Tx, args: list[bytes]) -> None:
    for key in args:
        tx.put(key, b"half done")
    raise KeyError("a bug")


def placed(tx: Tx, args: list[bytes]) -> None:
    for key in args:
        tx.put(key, str(tx.sequence).encode())


def more(tx: Tx, args: list[bytes]) -> int:
    for key in args:
        tx.put(key, str(number(tx.get(key)) + 1).encode())
    return number(tx.get(args[0]))


RULES = {"test.more": more, "test.give": give, "test.broken": broken, "test.placed": placed}
Body = Callable[[ShardedStore, Store], Awaitable[None]]


def with_stores(home: Path, *bodies: Body) -> None:
    """Each body gets the writer's store and a front's, freshly opened."""

    async def run(body: Body) -> None:
        clock = SystemClock()
        writer = await open_store(home, RULES, clock, shards=3, layout=LAYOUT, lock_s=0.2)
        front = await connect_store(home, RULES, clock, lock_s=0.2)
        assert isinstance(writer, ShardedStore) and isinstance(front, ShardedStore)
        try:
            await body(writer, front)
        finally:
            await front.close()
            await writer.close()

    for body in bodies:
        asyncio.run(run(body))


def put(key: bytes, value: bytes) -> Callable[[Draft], None]:
    return lambda draft: draft.put(key, value)


def test_all_shards_together_keep_as_many_pages_as_one(tmp_path: Path) -> None:
    def kept(connection: Any) -> int:
        return -int(connection.execute("PRAGMA cache_size").fetchall()[0][0])

    async def body(writer: ShardedStore, front: Store) -> None:
        for store in (writer, front):
            assert isinstance(store, ShardedStore)
            kibs = [kept(shard.rows._connection) for shard in store.shards]
            assert kibs == [READER_KIB // 3] * 3
        for shard in writer.shards:
            assert shard.replica is not None
            assert kept(shard.replica._c) == WRITER_KIB // 3

    with_stores(tmp_path, body)


def test_rows_lie_in_their_shards_and_ranges_read_over_them(tmp_path: Path) -> None:
    async def first(writer: ShardedStore, front: Store) -> None:
        for table in "abcz":
            await front.submit("write", [[cell(table, n), table.encode()] for n in "xy"])
        held = [
            [k for k in map(cell, "abcz") if shard.rows.value(k) is not None]
            for shard in writer.shards
        ]
        assert held == [[cell("a"), cell("z")], [cell("b")], [cell("c")]]

    async def second(writer: ShardedStore, front: Store) -> None:
        for store in (writer, front):
            assert [store.get(cell(t)) for t in "abcz"] == [b"a", b"b", b"c", b"z"]
            both = [cell(t, n) for t in "abc" for n in "xy"]
            assert [r.key for r in store.range(b"a", b"e")] == both
            assert [r.key for r in store.range(b"a", b"e", 3, True)] == both[:2:-1]
            assert [k for k, _ in store.pairs(cell("a", "y"), cell("c"), 9)] == both[1:4]
            assert store.values(reversed(both)) == [t.encode() for t in "ccbbaa"]
            assert [r.value for r in store.partition("b", "p")] == [b"b", b"b"]

    with_stores(tmp_path, first, second)


def test_a_rule_of_several_shards_is_carried_out_whole_or_not(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        await writer.transact(put(cell("b"), b"10"))
        assert await front.submit("test.give", [cell("b"), cell("c"), 7]) == [3, 7]
        assert await writer.submit("test.give", [cell("c"), cell("a"), 2]) == [5, 2]
        with pytest.raises(AwsError) as refused:
            await front.submit("test.give", [cell("b"), cell("a"), 9])
        assert refused.value.code == "TooLittle"
        with pytest.raises(AwsError) as failed:
            await front.submit("test.broken", [cell("b"), cell("a")])
        assert failed.value.status == 500
        assert front.values(map(cell, "abc")) == [b"2", b"3", b"5"]
        assert [c[2] for c in front.changes("given")] == [b"7", b"2"]
        stamp = front.stamp("none")
        before = stamp()
        await front.submit("write", [[cell("a"), b"0"]])
        assert stamp() == before  # nothing is decided that is not written yet
        await writer.submit("test.give", [cell("b"), cell("c"), 1])
        assert stamp() != before  # read before any table was touched

    with_stores(tmp_path, body)


def test_a_place_among_all_writes_is_had_in_any_shard_and_across_them(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        await front.submit("test.placed", [cell("b"), cell("b", "y")])
        assert number(front.get(cell("b"))) == front.row(cell("b")).version  # type: ignore[union-attr]
        places = [number(front.get(cell("b")))]
        for keys_ in ([cell("b"), cell("c")], [cell("c"), cell("a")], [cell("c")], [cell("b")]):
            await asyncio.gather(*(s.submit("test.placed", keys_) for s in (front, writer)))
            found = [front.row(k) for k in keys_]
            assert {number(r.value) for r in found if r} == {r.version for r in found if r}
            places.append(number(front.get(keys_[-1])))
        assert len(set(places)) == 5
        assert places[1] < places[2] < places[3] and places[1] < places[4]

    with_stores(tmp_path, body)


def test_many_at_once_lose_nothing(tmp_path: Path) -> None:
    async def body(writer: ShardedStore, front: Store) -> None:
        for table in "abc":
            await writer.transact(put(cell(table), b"100"))

        async def giver(store: Store, source: str, target: str) -> None:
            for _ in range(4):
                await store.submit("test.give", [cell(source), cell(target), 1])

        async def looker(store: Store) -> None:
            for _ in range(80):
                assert sum(map(number, store.values(map(cell, "abc")))) == 300
                await asyncio.sleep(0)

        pairs = [(s, a, b) for s in (writer, front) for a in "abc" for b in "abc" if a != b]
        await asyncio.gather(*(giver(*p) for p in pairs), looker(writer), looker(front))
        assert front.values(map(cell, "abc")) == [b"100"] * 3

    with_stores(tmp_path, body)


def test_many_who_want_the_same_rows_of_all_shards_take_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each prepares in eight shards, whose logs are not equally quick: side by side they shut one
    another out, and none gets all."""
    chance, place = random.Random(1), Shard.place

    async def late(self: Shard, *more: Any) -> Any:
        await asyncio.sleep(chance.random() / 50)
        return await place(self, *more)

    monkeypatch.setattr(Shard, "place", late)
    tables = "abcdefgh"
    layout = [(b"", 0)]
    for shard, table in enumerate(tables[1:], 1):
        layout += [(table.encode() + b"\x00", shard), (table.encode() + b"\x01", 0)]
    cells = [cell(t) for t in tables]

    async def run() -> None:
        clock = SystemClock()
        writer = await open_store(tmp_path, RULES, clock, shards=8, layout=layout)
        front = await connect_store(tmp_path, RULES, clock)
        try:
            both = [store.submit("test.more", cells) for store in (writer, front) * 25]
            assert sorted(await asyncio.gather(*both)) == list(range(1, 51))
            assert writer.values(cells) == [b"50"] * 8
        finally:
            await front.close()
            await writer.close()

    asyncio.run(run())


def test_of_those_who_share_some_shards_each_gets_on(tmp_path: Path) -> None:
    """Also those whose first shard two want, beside one who always comes at once."""
    total, done = 600, dict.fromkeys(("ab", "bc", "ca"), 0)

    async def body(writer: ShardedStore, front: Store) -> None:
        for table in "abc":
            await writer.transact(put(cell(table), str(total).encode()))

        async def giver(source: str, to: str) -> None:
            while sum(done.values()) < total:
                await front.submit("test.give", [cell(source), cell(to), 1])
                done[source + to] += 1

        await asyncio.gather(*(giver(*pair) for pair in done))

    with_stores(tmp_path, body)
    assert min(done.values()) >= total // 20, done


def test_who_prepares_in_one_shard_first_and_is_refused_asks_no_other(tmp_path: Path) -> None:
    cells = [cell(t) for t in "abc"]

    async def body(writer: ShardedStore, front: Store) -> None:
        trial, verdict = writer._try("test.more", cells, b"")
        change, where = trial.footprint(), writer.tablets
        numbers = change.shards(where)
        part = change.part(where, 0, numbers)
        other = {"id": bytes(16), "home": 0, "shards": numbers, "place": 0, **part}
        await writer.shards[0].place(spanning.PREPARE, other)
        first, *rest = (s.replica.applied for s in writer.shards if s.replica)
        told = await writer.crossing.commit(
            change, where, "test.more", b"", verdict, one_first=True
        )
        assert told is Ended.HELD
        assert [s.replica.applied for s in writer.shards if s.replica] == [first + 1, *rest]

    with_stores(tmp_path, body)


def test_a_repeat_has_one_effect_and_the_first_answer(tmp_path: Path) -> None:
    give_all = [cell("b"), cell("c"), 10]

    async def first(writer: ShardedStore, front: Store) -> None:
        await writer.transact(put(cell("b"), b"10"))
        asked = (s.submit("test.give", give_all, b"r" * 16) for s in (writer, front) * 3)
        assert await asyncio.gather(*asked) == [[0, 10]] * 6

    async def second(writer: ShardedStore, front: Store) -> None:
        assert await front.submit("test.give", give_all, b"r" * 16) == [0, 10]
        with pytest.raises(AwsError):
            await front.submit("test.give", give_all, b"q" * 16)

    with_stores(tmp_path, first, second)


def test_a_repeated_transaction_gets_its_first_answer(tmp_path: Path) -> None:
    def create(draft: Draft) -> dict[str, str]:
        if draft.get(cell("b")) is not None:
            raise AwsError("AlreadyExists", "it exists")
        draft.put(cell("b"), b"1")
        draft.put(cell("c"), b"1")
        return {"Created": "yes"}

    async def body(writer: ShardedStore, front: Store) -> None:
        assert await front.transact(create, b"a" * 16) == {"Created": "yes"}
        assert await front.transact(create, b"a" * 16) == {"Created": "yes"}
        with pytest.raises(AwsError):
            await front.transact(create, b"b" * 16)

    with_stores(tmp_path, body)


def test_what_a_transaction_read_is_protected_in_every_shard(tmp_path: Path) -> None:
    """Write skew: each reads both shards and writes one; only one of them may."""

    def take(table: str) -> Callable[[Draft], bool]:
        def change(draft: Draft) -> bool:
            seen = [draft.range(cell(t, ""), cell(t, "~")) for t in "bc"]
            if any(seen):
                return False
            draft.put(cell(table), b"1")
            return True

        return change

    async def body(writer: ShardedStore, front: Store) -> None:
        taken = await asyncio.gather(*(s.transact(take(t)) for s in (writer, front) for t in "bc"))
        assert sorted(taken) == [False, False, False, True]

    with_stores(tmp_path, body)


def test_a_home_with_several_is_opened_as_such(tmp_path: Path) -> None:
    async def nothing(writer: ShardedStore, front: Store) -> None:
        await front.submit("write", [[cell("b"), b"1"]])

    async def again() -> None:
        store = await open_store(tmp_path, RULES, SystemClock())
        assert isinstance(store, ShardedStore) and store.get(cell("b")) == b"1"
        await store.close()

    with_stores(tmp_path, nothing)
    asyncio.run(again())


SHARING = Placing(lambda shards: LAYOUT, shared=("shop", "house"))


def named(tx: Tx, args: list[Any]) -> str:
    """Write a cell, as the shared row says, and name a blob with it; without a value: let go."""
    shop, key, digest, value = args
    at = keys.key("blobrefs", digest, key)
    if value is None:
        tx.delete(key)
        tx.delete(at)
        return ""
    told = (tx.get(shop) or b"").decode()
    tx.put(key, f"{told}:{value}".encode())
    tx.put(at, b"")
    return told


SHOP = keys.key("shop", "p", "x")


def copied(to: bytes, draft: Draft) -> None:
    draft.put(to, draft.get(SHOP) or b"")


def refs(store: Store) -> list[int]:
    return [len(s.rows.range(b"blobrefs\x00", b"blobrefs\x01", 99)) for s in store.shards]


def entries(store: Store) -> int:
    assert isinstance(store, ShardedStore)
    return sum(s.replica.applied for s in store.shards if s.replica)


def test_what_all_share_is_read_in_any_shard_and_changed_in_all(tmp_path: Path) -> None:
    rules = {"test.named": named}

    async def one() -> None:
        store = await open_store(tmp_path, rules, SystemClock())
        await store.transact(put(SHOP, b"open"))
        await store.close()

    async def several() -> None:
        store = await open_store(tmp_path, rules, SystemClock(), shards=3, placing=SHARING)
        assert isinstance(store, ShardedStore)
        for n, table in enumerate("abc"):
            await store.mover.bring(*RANGES[table], n)
        for table in "abc":
            before = entries(store)
            assert await store.submit("test.named", [SHOP, cell(table), "d1", "1"]) == "open"
            await store.transact(partial(copied, cell(table, "y")))
            assert entries(store) == before + 2, "one shard, one entry each"
        assert refs(store) == [1, 1, 1]
        await store.transact(put(SHOP, b"shut"))
        versions = {s.rows.row(SHOP) for s in store.shards}
        assert len(versions) == 1 and store.get(SHOP) == b"shut"
        told = [await store.submit("test.named", [SHOP, cell(t), "d1", "2"]) for t in "abc"]
        assert told == ["shut"] * 3

        def longer(draft: Draft) -> None:
            draft.put(SHOP, (draft.get(SHOP) or b"") + b"!")

        await asyncio.gather(
            *(store.transact(longer) for _ in range(4)),
            *(store.submit("test.named", [SHOP, cell(t), "d1", "3"]) for t in "abc" * 4),
        )
        assert store.get(SHOP) == b"shut!!!!"
        assert len(store.range(*around("blobrefs"))) == 3
        await store.close()

    asyncio.run(one())
    asyncio.run(several())


RANGES = {"a": (b"a\x00", b"a\x01"), "b": (b"b\x00", b"b\x01"), "c": (b"c\x00", b"c\x01")}


def around(table: str) -> tuple[bytes, bytes]:
    return keys.table_prefix(table), keys.after_prefix(keys.table_prefix(table))


def test_a_reference_left_behind_by_a_move_goes_when_it_is_needed_no_more(tmp_path: Path) -> None:
    rules = {"test.named": named}

    async def run() -> None:
        store = await open_store(tmp_path, rules, SystemClock(), shards=3, placing=SHARING)
        assert isinstance(store, ShardedStore)
        args = [SHOP, cell("b"), "d1"]
        await store.submit("test.named", [*args, "1"])
        assert refs(store) == [0, 1, 0]
        await store.mover.bring(*RANGES["b"], 2)
        assert refs(store) == [0, 1, 0]
        await store.submit("test.named", [*args, None])
        await store.submit("test.named", [*args, "2"])  # the same name again, by a new owner
        assert refs(store) == [0, 1, 1]
        await store.mover.bring(*RANGES["b"], 1)
        await store.submit("test.named", [*args, None])
        await store.submit("test.named", [*args, "3"])  # where the first one was
        assert await sharing.sweep_strays(store.shards) == 1
        assert refs(store) == [0, 1, 0]
        await store.submit("test.named", [*args, None])
        await sharing.sweep_strays(store.shards)
        assert refs(store) == [0, 0, 0]
        assert await sharing.sweep_strays(store.shards) == 0
        await store.close()

    asyncio.run(run())
