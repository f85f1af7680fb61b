"""Rules that no other test meets in this process, by the services that write their entries or as
they do, so that recorded logs hold some of each (``recording``)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from pileus.assembly import RULES
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import AwsError
from pileus.services.kv.cells import Cell, decode
from pileus.services.s3 import rows
from pileus.services.s3.rows import Meta
from pileus.state import keys, spanning
from pileus.state.locks import decided_key, held_key
from pileus.state.opening import open_store
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store

TIMES = 3  # as often as a recording wants each
LAYOUT = [(b"", 0), (b"b\x00", 1), (b"b\x01", 0), (b"c\x00", 2), (b"d\x00", 0)]
CELLS = [keys.key(table, "p", "x") for table in "bc"]


def at_store(home: Path, body: Any, **more: Any) -> None:
    async def main() -> None:
        store = await open_store(home, RULES, SystemClock(), **more)
        try:
            await body(store)
        finally:
            await store.close()

    asyncio.run(main())


def test_cells_of_wide_tables(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        for number in range(TIMES):
            key = keys.key("wide", "row", str(number))
            chunk = bytes([number]) * 32
            told = {"key": key, "cell": [1, b"x", []], "condition": ["version", 0]}
            version = await store.submit("kv.put", told)
            assert store.row(key).version == version  # type: ignore[union-attr]
            with pytest.raises(AwsError, match="does not hold"):
                await store.submit("kv.put", told)
            told = {"key": key, "cell": [9, b"", [chunk]], "condition": ["value", 1, b"x", []]}
            await store.submit("kv.put", told)
            reference = keys.key("blobrefs", chunk.hex(), key)
            assert store.get(reference) == b""
            assert decode(store.get(key) or b"") == Cell(9, b"", [chunk])
            assert await store.submit("kv.delete", {"key": key, "condition": None})
            assert store.get(key) is None and store.get(reference) is None
            assert not await store.submit("kv.delete", {"key": key, "condition": None})

    at_store(tmp_path, body)


def test_rows_are_purged_by_the_slice(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        await store.submit("write", [[keys.key("gone", "p", str(n)), b"x"] for n in range(5)])
        start = keys.table_prefix("gone")
        told = {"start": start, "end": keys.after_prefix(start), "limit": 2}
        assert [await store.submit("purge", told) for _ in range(4)] == [2, 2, 1, 0]

    at_store(tmp_path, body)


def test_places_in_the_order_of_all_shards(tmp_path: Path) -> None:
    """A bucket's row in one shard, its objects in another: an object's place is had across both."""

    async def body(store: Store) -> None:
        record = {"owner": "1", "region": "us-east-1", "created_ms": 1, "again": True}
        await store.submit("s3.create_bucket", ["abc", record, {}])
        orders = []
        for number in range(TIMES):
            told = rows.pack_meta(Meta("e", 1, 1, {}, "1"))
            await store.submit("s3.put", ["abc", str(number), told, b"x", {}, bytes(16), []])
            row = store.row(rows.current("abc", str(number)))
            assert row is not None and rows.describe(row.value).order == row.version
            orders.append(row.version)
        assert orders == sorted(set(orders))

    at_store(tmp_path, body, shards=2, layout=[(b"", 0), (b"s3o\x00", 1), (b"s3o\x01", 0)])


def test_what_buckets_and_accounts_are_told(tmp_path: Path) -> None:
    async def body(store: Store) -> None:
        record = {"owner": "1", "region": "us-east-1", "created_ms": 1}
        await store.submit("s3.create_bucket", ["abc", {**record, "again": True}, {}])
        told = rows.pack_meta(Meta("e", 1, 1, {}, "1"))
        await store.submit("s3.put", ["abc", "k", told, b"x", {}, bytes(16), []])
        for number in range(TIMES):
            tags = {"n": str(number)}
            assert await store.submit("s3.edit", ["abc", "k", None, {"tags": tags}]) == ""
            kept, content = rows.unpack(store.get(rows.current("abc", "k")) or b"")
            assert kept.tags == tags and content == b"x"
            with pytest.raises(AwsError) as refused:
                await store.submit("s3.edit", ["abc", "none", None, {"tags": tags}])
            assert refused.value.code == "NoSuchKey"
            for value in (b"{}", None):
                await store.submit("s3.configure_account", ["1", "public-access-block", value])
                assert store.get(rows.account_setting("1", "public-access-block")) == value
            await store.submit("write", [[rows.owned("1", "abc"), None]])
            await store.submit("s3.index_owned", [["abc", "gone"]])
            assert store.get(rows.owned("1", "abc")) == b"" == store.get(rows.owned_mark())
            assert store.get(rows.owned("1", "gone")) is None
            await store.submit("s3.create_bucket", ["other", {**record, "again": True}, {}])
            await store.submit("s3.delete_bucket", ["other"])
            assert store.get(rows.bucket("other")) is None
            await store.submit("s3.recount", ["abc"])
            await store.submit("s3.recounted", [])
            assert store.get(rows.tally_mark()) == b""

    at_store(tmp_path, body)


def test_authors_that_die_between_the_steps_of_a_transaction(tmp_path: Path) -> None:
    """Before the decision: it did not happen. After it: it did, and nobody needs its row."""

    async def body(store: Store) -> None:
        assert isinstance(store, ShardedStore)
        home, other = store.shards[1:]
        for number in range(TIMES):
            value = str(number).encode()
            await store.submit("write", [[key, value] for key in CELLS])
            for decided in (False, True):
                txn = bytes([number, decided]) * 8
                for shard, key in zip((home, other), CELLS, strict=True):
                    part = {"reads": [], "ranges": [], "writes": [[key, b"late"]], "changes": []}
                    part |= {"ordered": [], "place": 0, "home": 1, "shards": [1, 2], "id": txn}
                    await shard.ask(spanning.PREPARE, part)
                if decided:
                    verdict = b"\x92\x00\xc0"  # nothing, and no error
                    told = {"id": txn, "rule": "write", "verdict": verdict, "forget": []}
                    await home.ask(spanning.DECIDE, told)
                for _ in range(2):  # seen, then ended
                    await store.crossing.sweep()
                assert home.rows.value(decided_key(txn)) is None
                assert other.rows.value(held_key(txn)) is None
                wanted = b"late" if decided else value
                assert [store.get(key) for key in CELLS] == [wanted] * 2

    at_store(tmp_path, body, shards=3, layout=LAYOUT, lock_s=0.0)
