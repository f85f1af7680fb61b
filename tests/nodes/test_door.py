"""The door between nodes and its client, over real TLS on loopback."""

from __future__ import annotations

import asyncio
import hashlib
import os
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import uvloop

from pileus.engine.embedded.blobs import FileBlobs
from pileus.nodes.client import Client, PeerError, Place
from pileus.nodes.door import NodeDoor
from pileus.nodes.tls import client_context, name_of, server_context
from pileus.wire.http import serve
from tests.nodes.certificates import Authority


class Door:
    """One node's door, open, and a client of another node."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.opened = 0
        self.authority = Authority()
        self.blobs = FileBlobs(home / "blobs")
        self.door = NodeDoor(home, self.blobs, lambda: {"node": "one", "applied": 7})

    async def __aenter__(self) -> Door:
        tls = server_context(self.authority.lay(self.home / "node", "one"))
        self.server = await serve(self.door.serve, ("127.0.0.1", 0), tls=tls, client=self.known)
        self.node = Place("one", "127.0.0.1", self.server.port)
        self.client = Client(client_context(self.authority.lay(self.home / "other", "two")))
        return self

    def known(self, certificate: Any) -> str | None:
        self.opened += 1
        name = name_of(certificate)
        return name if name != "expelled" else None

    async def __aexit__(self, *_: object) -> None:
        self.client.close()
        await self.server.stop(0.5)
        self.blobs.close()

    async def ask(self, method: str, path: str, body: Any = b"", **more: Any) -> tuple[int, bytes]:
        answer = await self.client.send(self.node, method, path, body, **more)
        return answer.status, await answer.read()


def run(tmp_path: Path, body: Callable[[Door], Awaitable[None]]) -> None:
    async def inner() -> None:
        async with Door(tmp_path) as door:
            await body(door)

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(inner())


async def pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    for at in range(0, len(data), size):
        yield data[at : at + size]


def test_blobs_go_in_and_come_out(tmp_path: Path) -> None:
    data = os.urandom(700_000)
    digest = hashlib.sha256(data).hexdigest()
    other = hashlib.sha256(b"other").digest()

    async def body(d: Door) -> None:
        assert (await d.ask("PUT", f"/blobs/{digest}", data))[0] == 201
        assert await d.ask("GET", f"/blobs/{digest}") == (200, data)
        part = await d.ask("GET", f"/blobs/{digest}", headers={"range": "bytes=500000-"})
        assert part == (206, data[500_000:])
        head = await d.client.send(d.node, "HEAD", f"/blobs/{digest}")
        assert head.status == 200 and head.headers["content-length"] == "700000"
        head.close()
        # The digest behind the bytes, for who learns it only at their end.
        assert (await d.ask("PUT", "/blobs/-", pieces(b"other" + other, 7)))[0] == 201
        assert d.blobs.size(other.hex()) == 5
        assert (await d.ask("GET", "/blobs"))[1].decode().split() == sorted([digest, other.hex()])
        assert (await d.ask("GET", f"/blobs?after={max(digest, other.hex())}"))[1] == b""
        assert (await d.ask("DELETE", f"/blobs/{digest}?idle=3600"))[1] == b'{"gone":false}'
        assert (await d.ask("DELETE", f"/blobs/{digest}"))[1] == b'{"gone":true}'
        assert (await d.ask("GET", f"/blobs/{digest}"))[0] == 404
        assert (await d.ask("GET", "/status"))[1] == b'{"node":"one","applied":7}'
        assert d.opened == 1  # one connection carried it all

    run(tmp_path, body)


def test_wrong_or_cut_uploads_leave_nothing(tmp_path: Path) -> None:
    data = os.urandom(2_000_000)

    async def cut() -> AsyncIterator[bytes]:
        yield data
        raise ConnectionError("the sender died")

    async def body(d: Door) -> None:
        assert (await d.ask("PUT", f"/blobs/{'0' * 64}", data))[0] == 400
        assert (await d.ask("PUT", "/blobs/-", pieces(data + bytes(32))))[0] == 400
        assert (await d.ask("PUT", "/blobs/-", pieces(b"short")))[0] == 400
        with pytest.raises(ConnectionError):
            await d.ask("PUT", "/blobs/-", cut())
        for path in ("/blobs/../../etc/passwd", "/blobs/abc", "/checkpoint/7.db", "/"):
            assert (await d.ask("GET", path))[0] == 404
        assert (await d.ask("GET", "/blobs?after=..%2f"))[0] == 400
        async with asyncio.timeout(60):  # the door sees the cut a moment later
            while os.listdir(tmp_path / "blobs" / "tmp"):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert d.blobs.list() == []

    run(tmp_path, body)


def test_strangers_are_refused(tmp_path: Path) -> None:
    async def refused(d: Door, directory: Path) -> None:
        client = Client(client_context(directory))
        with pytest.raises(PeerError):
            await client.send(d.node, "GET", "/status")
        client.close()

    async def body(d: Door) -> None:
        ours = d.home / "node"
        # Another authority's certificate, sent by a client that would accept our door.
        stranger = Authority().lay(d.home / "stranger", "two")
        (stranger / "ca.pem").write_bytes((ours / "ca.pem").read_bytes())
        await refused(d, stranger)
        # Ours, but not what the other side expects: the client does not talk to a wrong node.
        with pytest.raises(PeerError, match="not three"):
            await d.client.send(d.node._replace(name="three"), "GET", "/status")
        # No certificate at all.
        bare = ssl.create_default_context(cafile=str(ours / "ca.pem"))
        bare.check_hostname = False
        reader, writer = await asyncio.open_connection("127.0.0.1", d.node.port, ssl=bare)
        writer.write(b"GET /status HTTP/1.1\r\nhost: one\r\n\r\n")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            assert await reader.read() == b""
            raise ConnectionResetError
        writer.transport.abort()
        # A good certificate of a node that belongs to the cluster no more.
        expelled = Client(client_context(d.authority.lay(d.home / "expelled", "expelled")))
        answer = await expelled.send(d.node, "GET", "/status")
        assert answer.status == 503
        answer.close()
        expelled.close()
        # Without encryption.
        reader, writer = await asyncio.open_connection("127.0.0.1", d.node.port)
        writer.write(b"GET /status HTTP/1.1\r\nhost: one\r\n\r\n")
        assert b"HTTP" not in await reader.read()
        writer.close()

    run(tmp_path, body)


def test_64_mb_pass_in_flat_memory(tmp_path: Path) -> None:
    piece = os.urandom(256 * 1024)
    count = 256
    whole = hashlib.sha256()

    async def sent() -> AsyncIterator[bytes]:
        for _ in range(count):
            fresh = os.urandom(16) + piece
            whole.update(fresh)
            yield fresh
        yield whole.digest()

    async def body(d: Door) -> None:
        tracemalloc.start()
        assert (await d.ask("PUT", "/blobs/-", sent()))[0] == 201
        answer = await d.client.send(d.node, "GET", f"/blobs/{whole.hexdigest()}")
        back = hashlib.sha256()
        async for got in answer:
            back.update(got)
        assert back.digest() == whole.digest()
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 16 * 1024 * 1024  # both sides together

    run(tmp_path, body)


def test_a_node_that_is_gone_or_silent(tmp_path: Path) -> None:
    async def body(d: Door) -> None:
        await d.ask("GET", "/status")
        await d.server.stop(0)
        with pytest.raises(PeerError):
            await d.client.send(d.node, "GET", "/status")
        # One that takes connections and says nothing.
        mute = await asyncio.start_server(lambda r, w: asyncio.sleep(600), "127.0.0.1", 0)
        port = mute.sockets[0].getsockname()[1]
        with pytest.raises(PeerError):
            async with asyncio.timeout(60):
                await d.client.send(Place("one", "127.0.0.1", port), "GET", "/status")
        mute.close()
        # It comes back at the same place: the next request finds it.
        tls = server_context(d.home / "node")
        back = await serve(d.door.serve, ("127.0.0.1", d.node.port), tls=tls)
        assert (await d.ask("GET", "/status"))[0] == 200
        await back.stop(0.5)

    run(tmp_path, body)


def test_checkpoints_are_told_taken_and_sent_in_ranges(tmp_path: Path) -> None:
    async def body(d: Door) -> None:
        from pileus.engine.embedded.clock import SystemClock
        from pileus.services import kv
        from pileus.state.store import Store

        store = await Store.open(d.home, kv.RULES, SystemClock())
        for i in range(5):
            await store.transact(lambda draft, i=i: draft.put(b"t\x00p\x00%d" % i, b"v"))
        import json

        status, told = await d.ask("GET", "/checkpoint?at_least=3")
        found = json.loads(told)
        assert status == 200 and found["sequence"] == store.replica.applied
        path = f"/checkpoint/{found['sequence']}.db"
        status, copy = await d.ask("GET", path)
        assert status == 200 and hashlib.sha256(copy).hexdigest() == found["sha256"]
        assert len(copy) == found["size"]
        assert (await d.ask("GET", path, headers={"range": "bytes=1000-"}))[1] == copy[1000:]
        assert (await d.ask("GET", path, headers={"range": f"bytes={len(copy)}-"}))[0] == 416
        assert (await d.ask("GET", "/checkpoint?at_least=99"))[0] == 503
        await store.close()

    run(tmp_path, body)
