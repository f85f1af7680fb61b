"""What a strong read waits for where shards are several (S5)."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pileus.errors import Unavailable
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.strongly import Span, Strongly
from tests.state.test_sharded import cell, number, put, with_stores

A, B = (b"a", b"b"), (b"b", b"c")


class Logs:
    """Five shards; ``where`` and ``held`` may change when a barrier passes."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self.where = {A: {1}, B: {2}}
        self.held: dict[int, set[int]] = {}
        self.after: dict[int, Any] = {}
        barriers = [functools.partial(self._barrier, n) for n in range(5)]
        self.strongly = Strongly(barriers, self._holders, self._deciding)

    async def _barrier(self, shard: int) -> int:
        self.asked.append(shard)
        self.after.get(shard, lambda: None)()
        return 10 + shard

    def _holders(self, spans: Sequence[Span]) -> set[int]:
        return set().union(*(self.where[span] for span in spans))

    def _deciding(self, shards: Iterable[int]) -> set[int]:
        return set().union(*(self.held.get(n, set()) for n in shards))

    def wait(self, *spans: Span) -> list[int]:
        self.asked = []
        told = asyncio.run(self.strongly.wait((lambda: spans) if spans else None))
        assert told == 10
        return self.asked


def test_only_the_logs_that_are_read_are_waited_for() -> None:
    logs = Logs()
    assert logs.wait(A) == [0, 1]
    assert logs.wait(A, B) == [0, 1, 2]
    assert logs.wait() == [0, 1, 2, 3, 4]


def test_what_a_barrier_brings_to_light_is_waited_for_too() -> None:
    logs = Logs()
    logs.after[0] = lambda: logs.where.update({A: {3}})  # it has moved
    logs.after[3] = lambda: logs.held.update({3: {4}})  # a transaction that shard 4 decides
    assert logs.wait(A) == [0, 1, 3, 4]


def test_a_log_that_is_out_of_reach_stops_only_those_who_read_it() -> None:
    logs = Logs()

    def silent() -> None:
        raise Unavailable("no leader")

    logs.after[2] = silent
    assert logs.wait(A) == [0, 1]
    with pytest.raises(Unavailable):
        logs.wait(B)


def test_nobody_sees_half_between_a_commit_and_its_telling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A decision is in its rows a moment before caches hear of it: for the length of that moment,
    longer here, a reader saw the home shard's part alone."""
    told = Store._committed

    def late(store: Store, replica: Any) -> None:
        time.sleep(0.004)
        told(store, replica)

    monkeypatch.setattr(Store, "_committed", late)

    async def body(writer: ShardedStore, front: Store) -> None:
        await writer.transact(put(cell("b"), b"1000"))
        seen: set[int] = set()

        async def read() -> None:
            while True:
                both = [cell("b"), cell("c")]
                seen.add(sum(map(number, writer.values(both))))
                cells = writer.range(b"b\x00", b"c\x01")
                seen.add(sum(number(r.value) for r in cells))
                await asyncio.sleep(0)

        reading = asyncio.ensure_future(read())
        for _ in range(25):
            await writer.submit("test.give", [cell("b"), cell("c"), 1])
        reading.cancel()
        assert seen == {1000}

    with_stores(tmp_path, body)
