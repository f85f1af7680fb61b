"""Stores over real log servers: what the tests of the cluster's log have in common."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pileus.engine.cluster import streams
from pileus.engine.cluster.log import ClusterLog, LogSettings
from pileus.engine.cluster.nats import NatsNode
from pileus.engine.embedded.clock import SystemClock
from pileus.errors import Unavailable
from pileus.state import keys, pages
from pileus.state.rebuild import Clustered, Fetch
from pileus.state.store import Store
from pileus.state.tx import Tx

ROW = keys.key("t", "p", "row")


def append_byte(tx: Tx, args: int) -> int:
    """Grow one row by a byte; answers its length: a write done twice shows."""
    value = (tx.get(ROW) or b"") + bytes([args % 256])
    tx.put(ROW, value)
    return len(value)


def put(tx: Tx, args: list[Any]) -> None:
    tx.put(keys.key("t", "p", str(args[0])), args[1])


def count(tx: Tx, args: list[int]) -> int:
    """Append a number to the row of its writer, which must hold all below it; answers how many
    it holds then."""
    key = keys.key("t", "counts", str(args[0]))
    value = tx.get(key) or b""
    assert len(value) == 4 * args[1], "lost or doubled"
    tx.put(key, value + args[1].to_bytes(4, "big"))
    return args[1] + 1


RULES = {"test.count": count, "test.append": append_byte, "test.put": put}


def fresh_shard() -> int:
    """A shard, and so a stream, nobody else uses."""
    return int.from_bytes(os.urandom(4), "big")


async def no_copy(shard: int, target: Path, at_least: int) -> None:
    raise Unavailable("no other node has a copy")


def copying(source: Path) -> Fetch:
    """Fetch from a home on this machine, in use or not."""

    async def fetch(shard: int, target: Path, at_least: int) -> None:
        pages.copy(source / "state.db", target, 65536, checksums=False)

    return fetch


class Replicas:
    """Opens stores of one cluster in homes below ``home``."""

    def __init__(self, home: Path, servers: list[NatsNode], shard: int) -> None:
        self._home = home
        self._servers = servers
        self.shard = shard

    def home(self, name: str) -> Path:
        path = self._home / name
        path.mkdir(exist_ok=True)
        return path

    def settings(self, at: int = 0) -> LogSettings:
        """``at``: which server this node tries first."""
        nodes = self._servers[at:] + self._servers[:at]
        n = nodes[0]
        where = tuple(node.address for node in nodes)
        found = len(self._servers)
        return LogSettings(where, n.user, n.password, n.tls, shard=self.shard, found=found)

    @contextlib.asynccontextmanager
    async def store(self, name: str, at: int = 0, fetch: Fetch = no_copy) -> AsyncIterator[Store]:
        settings = replace(self.settings(at), label=name)

        def make_log(shard: int, *told: Any) -> ClusterLog:
            return ClusterLog(settings, *told)

        cluster = Clustered(make_log, fetch, name)
        store = await Store.open(self.home(name), RULES, SystemClock(), cluster)
        try:
            yield store
        finally:
            await store.close()


def value(store: Store) -> bytes:
    """What was appended, in its order."""
    return store.get(ROW) or b""


class LogServers:
    """What a node asks the log's servers goes by here: they do not answer while ``silent``."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.silent = False
        self._ask = streams.ask
        patch.setattr(streams, "ask", self._asked)

    async def _asked(self, *told: Any) -> Any:
        if self.silent:
            raise Unavailable("the log's servers do not answer")
        return await self._ask(*told)


async def until(true: Callable[[], Any], seconds_max: float = 80.0) -> None:
    """Wait for ``true()``; fails in words when it does not come."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + seconds_max
    while not true():
        assert loop.time() < deadline, f"not within {seconds_max} s"
        await asyncio.sleep(0.02)
