"""What every engine promises, asked of each the same way."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pileus.engine import Outcome
from pileus.engine.cluster.nats import NatsNode
from pileus.state import entry, keys
from pileus.state.tx import Tx
from tests.cluster.servers import running
from tests.contract.engines import ENGINES, Cluster

Body = Callable[[Any], Awaitable[None]]
K = keys.key("t", "p")


def append_byte(tx: Tx, args: int) -> bytes:
    value = (tx.get(K) or b"") + bytes([args])
    tx.put(K, value)
    return value


RULES = {"test.append": append_byte}


def made(n: int, request: bytes = b"", now_ms: int = 1) -> bytes:
    return entry.pack(0, "test.append", now_ms, request, n)


@pytest.fixture(scope="module")
def log_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NatsNode]:
    """One log server for all of this file, started when first asked for."""
    with running(tmp_path_factory.mktemp("servers"), 1) as servers:
        yield servers[0].node


@pytest.fixture(params=[*sorted(ENGINES), "cluster"])
def engine(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    if request.param == "cluster":
        shard = int.from_bytes(os.urandom(4), "big")
        return Cluster(tmp_path, request.getfixturevalue("log_server"), shard)
    return ENGINES[request.param](tmp_path)


def run(engine: Any, *bodies: Body) -> None:
    """Each body gets the engine freshly opened; what the one before it did must be there."""

    async def one(body: Body) -> None:
        await engine.open(RULES)
        try:
            await body(engine)
        finally:
            await engine.close()

    for body in bodies:
        asyncio.run(one(body))


def test_appends_are_numbered_applied_and_answered_in_order(engine: Any) -> None:
    async def body(e: Any) -> None:
        outcomes: list[Outcome] = await asyncio.gather(*(e.log.append(made(i)) for i in range(50)))
        assert [o.sequence for o in outcomes] == list(range(1, 51))
        assert entry.open_verdict(outcomes[-1].verdict) == bytes(range(50))
        assert e.replica.applied == 50
        assert await e.log.barrier() >= 50

    run(engine, body)


def test_what_was_answered_is_there_after_a_restart(engine: Any) -> None:
    async def first(e: Any) -> None:
        for i in range(20):
            await e.log.append(made(i))

    async def second(e: Any) -> None:
        assert e.replica.applied == 20
        assert e.replica.row(K).value == bytes(range(20))
        assert (await e.log.append(made(99))).sequence == 21

    run(engine, first, second)


def test_the_log_reads_back_what_was_appended(engine: Any) -> None:
    data = [made(i) for i in range(30)]

    async def body(e: Any) -> None:
        await asyncio.gather(*(e.log.append(d) for d in data))
        read = await e.log.read(0, 100)
        assert [(r.sequence, r.data) for r in read] == list(enumerate(data, 1))
        assert [r.sequence for r in await e.log.read(10, 5)] == [11, 12, 13, 14, 15]
        assert await e.log.read(30) == []

    run(engine, body)


def test_trimming_keeps_the_state_and_the_numbering(engine: Any) -> None:
    async def first(e: Any) -> None:
        for i in range(20):
            await e.log.append(made(i))
        await e.log.trim(15)
        kept = [r.sequence for r in await e.log.read(0, 100)]
        assert kept[-1] == 20 and all(n in kept for n in range(15, 21))
        assert (await e.log.append(made(20))).sequence == 21
        assert e.replica.row(K).value == bytes(range(21))

    run(engine, first)


def test_a_repeat_gets_the_first_verdict_also_after_a_restart(engine: Any) -> None:
    async def first(e: Any) -> None:
        outcomes = await asyncio.gather(*(e.log.append(made(1, b"r" * 16)) for _ in range(3)))
        assert {o.verdict for o in outcomes} == {outcomes[0].verdict}
        assert e.replica.row(K).value == b"\x01"

    async def second(e: Any) -> None:
        await e.log.append(made(1, b"r" * 16))
        assert e.replica.row(K).value == b"\x01"
        # Ten minutes later, in the log's own time, the request is forgotten.
        await e.log.append(made(2, now_ms=700_000))
        await e.log.append(made(1, b"r" * 16))
        assert e.replica.row(K).value == b"\x01\x02\x01"

    run(engine, first, second)


def test_blobs_keep_bytes_under_their_hash(engine: Any) -> None:
    data = os.urandom(2_500_000)
    digest = hashlib.sha256(data).hexdigest()

    async def first(e: Any) -> None:
        writer = e.blobs.create()
        for at in range(0, len(data), 70_000):
            await writer.write(data[at : at + 70_000])
        assert await writer.commit(digest) == digest
        assert writer.size == len(data)
        assert await e.blobs.put(data) == digest  # again: the same blob

    async def second(e: Any) -> None:
        assert e.blobs.size(digest) == len(data)
        assert e.blobs.list() == [digest]
        assert b"".join([c async for c in e.blobs.read(digest)]) == data
        part = b"".join([c async for c in e.blobs.read(digest, 1_000_001, 1_200_000)])
        assert part == data[1_000_001:2_200_001]
        fd = e.blobs.open(digest)
        assert os.pread(fd, 10, 5) == data[5:15]
        os.close(fd)
        assert await e.blobs.delete(digest)
        with pytest.raises(FileNotFoundError):
            e.blobs.open(digest)
        assert e.blobs.list() == []

    run(engine, first, second)


def test_blobs_that_are_not_committed_do_not_exist(engine: Any) -> None:
    async def body(e: Any) -> None:
        wrong = e.blobs.create()
        await wrong.write(b"abc")
        with pytest.raises(ValueError):
            await wrong.commit("0" * 64)
        given_up = e.blobs.create()
        await given_up.write(b"x" * 2_000_000)
        await given_up.abort()
        assert e.blobs.list() == []
        for name in ("0" * 64, "../../etc/passwd", ""):
            with pytest.raises(FileNotFoundError):
                e.blobs.open(name)

    run(engine, body)


def test_a_whole_blob_is_kept_only_when_its_check_passes(engine: Any) -> None:
    data = os.urandom(100_000)

    def refuse() -> None:
        raise KeyError("not what was told")

    async def body(e: Any) -> None:
        with pytest.raises(KeyError):
            await e.blobs.put(lambda: data, refuse)
        assert e.blobs.list() == []
        digest = await e.blobs.put(lambda: data, lambda: None)
        assert digest == hashlib.sha256(data).hexdigest() and e.blobs.list() == [digest]
        with pytest.raises(KeyError):
            await e.blobs.put(data, refuse)
        assert e.blobs.list() == [digest]  # what was there stays

    run(engine, body)


def test_an_empty_blob_and_one_hashed_by_its_caller(engine: Any) -> None:
    async def body(e: Any) -> None:
        empty = await e.blobs.put(b"")
        assert empty == hashlib.sha256(b"").hexdigest() and e.blobs.size(empty) == 0
        digest = hashlib.sha256(b"abc").hexdigest()
        writer = e.blobs.create(hashed=False)
        await writer.write(b"abc")
        assert await writer.commit(digest) == digest
        unnamed = e.blobs.create(hashed=False)
        with pytest.raises(ValueError):
            await unnamed.commit()

    run(engine, body)


def test_the_clock(engine: Any) -> None:
    async def body(e: Any) -> None:
        wall, steady = e.clock.now_ms(), e.clock.monotonic()
        await e.clock.sleep(0.02)
        assert e.clock.now_ms() >= wall + 19
        assert e.clock.monotonic() >= steady + 0.019
        assert len(e.clock.random_bytes(16)) == 16
        assert e.clock.random_bytes(16) != e.clock.random_bytes(16)

    run(engine, body)
