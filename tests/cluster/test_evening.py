"""A fifth log server joins four whose copies of the logs are even: the servers give it its share,
one copy at a time, as they are asked to (S7)."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TypeVar

import pytest

from pileus.engine.cluster import streams
from pileus.engine.cluster.nats import NatsNode
from pileus.engine.cluster.nats_client import Client
from pileus.errors import Unavailable
from pileus.nodes import leading
from pileus.nodes.leading import Evening, Logs
from tests.cluster.servers import Server, nodes

SHARDS, MOVES_MAX = 8, 40
T = TypeVar("T")


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Servers that have just come refuse some things for a while."""
    async with asyncio.timeout(80):
        while True:
            with contextlib.suppress(Unavailable, OSError):
                return await ask()
            await asyncio.sleep(0.2)


@contextlib.asynccontextmanager
async def connected(node: NatsNode) -> AsyncIterator[Client]:
    async def connect() -> Client:
        return await streams.connect([node.address], node.user, node.password, node.tls.context())

    client = await patiently(connect)
    try:
        yield client
    finally:
        await client.close()


def places(logs: Logs) -> dict[int, tuple[str, set[str]]]:
    return {number: (found.leader, leading.holders(found)) for number, found in logs.items()}


async def looked(client: Client, before: Logs) -> Logs:
    """All logs, once each has its three copies, all of them current, and something is elsewhere
    than ``before``."""

    async def look() -> Logs:
        found = await streams.newest_of(client, SHARDS)
        whole = all(leading.whole(f) and len(leading.holders(f)) == 3 for f in found.values())
        if len(found) < SHARDS or not whole or places(found) == places(before):
            raise Unavailable("not yet")
        return found

    return await patiently(look)


def test_a_fifth_server_gets_its_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leading, "SETTLED_S", 0.0)
    monkeypatch.setattr(leading, "STEP_S", 0.0)  # each step is waited for
    monkeypatch.setattr(leading, "IN_VAIN_MAX", 1000)  # the first may come before the fifth

    async def body(client: Client, fifth: Server) -> None:
        for shard in range(SHARDS):
            await patiently(lambda n=shard: streams.create(client, n, 3))  # type: ignore[misc]
        names = ["n1", "n2", "n3", "n4"]
        logs = await looked(client, {})
        assert sorted(leading.copies(logs).values()) == [6, 6, 6, 6]
        fifth.start()
        names.append("n5")
        evening = Evening(client, asyncio.get_running_loop().time)
        for _ in range(MOVES_MAX):
            if leading.next_step(logs, names) is None:
                break
            await patiently(lambda now=logs: evening.turn(now, names))  # type: ignore[misc]
            logs = await looked(client, logs)
        kept = leading.copies(logs)
        assert sorted(kept[name] for name in names) == [4, 5, 5, 5, 5], kept

    async def main(servers: list[Server]) -> None:
        async with connected(servers[0].node) as client:
            await body(client, servers[4])

    *four, fifth = nodes(tmp_path, 5)
    known = fifth.routes[:4]  # a server that waits for a fifth chooses no leader
    servers = [Server(dataclasses.replace(node, routes=known)) for node in four] + [Server(fifth)]
    try:
        for server in servers[:4]:
            server.start()
        asyncio.run(main(servers))
    finally:
        for server in servers:
            server.kill()
