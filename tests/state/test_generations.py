"""The counters of a row and of its partition grow with every change; others stand."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.embedded.clock import SystemClock
from pileus.engine.embedded.generations import COUNTERS, FIRST, SLOTS, Generations
from pileus.errors import AwsError
from pileus.state import keys
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.tx import Row, Tx
from tests.state.test_sharded import cell, put, with_stores

EVERY = [
    keys.key(table, partition, sort)
    for table in ("t", "t:index")
    for partition in ("p", b"\x00\x01", "long" * 100)
    for sort in (b"", b"\x00", "s")
]


def change(tx: Tx, steps: list[list[Any]]) -> None:
    """Put (a value), delete (None), or remove a range (a key as value's place: True)."""
    for key, value in steps:
        if value is True:  # brings what is held into the transaction first
            for row in tx.range(key, key[:-4] + b"\xff", 100):
                tx.delete(row.key)
        elif value is None:
            tx.delete(key)
        else:
            tx.put(key, value)
        if value == b"no":
            raise AwsError("Refused", "nothing is written")


def rows(store: Store) -> dict[bytes, Row]:
    return {r.key: r for r in store.range(b"t", b"u", 1000)}


def counters(store: Store) -> dict[bytes, int]:
    """Of every row, and of every partition."""
    return {k: store.at(store.row_slot(k)) for k in (*EVERY, *map(keys.head, EVERY))}


def test_a_row_never_changes_without_its_counters(tmp_path: Path) -> None:
    rng = random.Random(5)

    def entry() -> list[list[Any]]:
        kinds = (b"x", b"y", None, True, b"no")
        return [[rng.choice(EVERY), rng.choice(kinds)] for _ in range(rng.randint(1, 4))]

    async def submit(store: Store) -> None:
        try:
            await store.submit("test.change", entry())
        except AwsError as e:
            assert e.code == "Refused"

    async def run() -> None:
        store = await Store.open(tmp_path, {"test.change": change}, SystemClock())
        changed = stood = 0
        for _ in range(60):
            before, told = rows(store), counters(store)
            await asyncio.gather(*(submit(store) for _ in range(rng.randint(1, 4))))
            after, now = rows(store), counters(store)
            wrote = {k for k in EVERY if before.get(k) != after.get(k)}
            for key in wrote | set(map(keys.head, wrote)):
                assert now[key] > told[key], key
                changed += 1
            stood += sum(now[key] == told[key] for key in now)
        assert changed > 100 and stood > 100
        await store.close()

    asyncio.run(run())


def test_over_several_shards_what_was_kept_is_never_old(tmp_path: Path) -> None:
    """Written in one shard, across them, and while a tablet moves."""
    rng = random.Random(7)
    cells = [cell(table, name) for table in "abc" for name in "xy"]

    async def body(writer: ShardedStore, front: Store) -> None:
        kept: dict[tuple[Store, bytes], tuple[Any, bytes | None]] = {}
        hits = 0

        def read(store: Store, key: bytes) -> bytes | None:
            """As ``kept`` of the tables' service does."""
            nonlocal hits
            slot = store.row_slot(key if key.endswith(b"x\x00\x01") else keys.head(key))
            now = stamps[store](), store.at(slot)
            if kept.get((store, key), (None, None))[0] == now:
                hits += 1
            else:
                kept[store, key] = now, store.get(key)
            return kept[store, key][1]

        stamps = {store: store.stamp("none") for store in (writer, front)}
        written: dict[bytes, bytes | None] = dict.fromkeys(cells)
        moving: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        moving.set_result(None)
        for number in range(60):
            if number % 20 == 10:
                await moving
                target = 2 - number // 20 % 2
                moving = asyncio.ensure_future(writer.mover.assign(b"b\x00", b"b\x01", target))
            some = rng.sample(cells, rng.choice((1, 1, 2, 3)))
            value = b"%d" % number
            await rng.choice((writer, front)).transact(
                lambda draft, some=some, value=value: [put(k, value)(draft) for k in some]
            )
            written |= dict.fromkeys(some, value)
            for store in (writer, front, writer, front):
                assert [read(store, key) for key in cells] == list(written.values())
        await moving
        assert hits > 500

    with_stores(tmp_path, body)


def test_all_counters_grow_when_a_writer_starts(tmp_path: Path) -> None:
    """The one before may have died between a commit and telling it."""

    async def run() -> None:
        store = await Store.open(tmp_path, {"test.change": change}, SystemClock())
        await store.submit("test.change", [[EVERY[0], b"1"]])
        other = Generations(tmp_path / "run" / "generations")
        told = [other.at(slot) for slot in (*range(SLOTS), *range(FIRST, COUNTERS))]
        store._generations.bump = lambda slots: None  # type: ignore[method-assign]
        await store.submit("test.change", [[EVERY[0], b"2"]])
        await store.close()
        assert told == [other.at(slot) for slot in (*range(SLOTS), *range(FIRST, COUNTERS))]
        store = await Store.open(tmp_path, {"test.change": change}, SystemClock())
        now = [other.at(slot) for slot in (*range(SLOTS), *range(FIRST, COUNTERS))]
        assert all(a > b for a, b in zip(now, told, strict=True))
        await store.close()
        other.close()

    asyncio.run(run())


@pytest.mark.parametrize("key", EVERY)
def test_a_head_tells_the_partition(key: bytes) -> None:
    table, partition, _ = keys.split(key)
    prefix = keys.partition_prefix(table, partition)
    assert keys.head(key) == keys.head(prefix) == prefix[: len(table) + 3]
