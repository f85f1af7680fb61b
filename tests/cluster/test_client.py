"""The client of the log's servers: it stays with the first of its list, and comes back to it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pileus.engine.cluster import nats_client, streams
from tests.cluster.replicas import until
from tests.cluster.servers import Server, running


def test_the_first_server_is_left_when_it_dies_and_gone_back_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_client, "HOME_TURNS", 1)

    async def body(servers: list[Server]) -> None:
        n = servers[0].node
        where = [s.node.address for s in servers]
        client = await streams.connect(where, n.user, n.password, n.tls.context())
        heard, moves = list[bytes](), list[str]()
        client.moved.append(lambda: moves.append("moved"))
        await client.subscribe("greetings", cb=lambda msg: heard.append(msg.data))

        async def told(word: bytes) -> None:
            """What is subscribed to goes along."""
            while word not in heard:
                client.send("greetings", word)
                await asyncio.sleep(0.05)

        await until(lambda: client.server == "n1")
        servers[0].kill()
        await until(lambda: client.server == "n2")
        await told(b"from the second")
        servers[0].start()
        await until(lambda: client.server == "n1")
        await told(b"from the first")
        assert len(moves) >= 2
        await client.close()

    with running(tmp_path, 2) as servers:
        asyncio.run(asyncio.wait_for(body(servers), 120))
