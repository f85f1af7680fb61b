"""Objects whose bytes are on other nodes, or damaged here, are answered as if they were not."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from pileus import assembly
from pileus.config import Config
from pileus.engine.cluster.blobs import ClusterBlobs
from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import Unavailable
from tests.services.s3.test_short_way import Cloud

DATA = os.urandom(3_000_000)


class Others:
    """Two more nodes that keep what they are given, in memory."""

    name = "n1"

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}
        self.down = False

    def members(self) -> list[str]:
        return ["n1", "n2", "n3"]

    def others(self) -> list[str]:
        return ["n2", "n3"]

    def live(self) -> list[str]:
        return ["n2", "n3"]

    async def put(self, node: str, digest: str, body: Any) -> None:
        if self.down:
            raise Unavailable(f"{node} is down")
        whole = body if isinstance(body, bytes) else b"".join([p async for p in body])
        self.kept[digest or whole[-32:].hex()] = whole if digest else whole[:-32]

    async def get(self, node: str, digest: str) -> AsyncIterator[bytes]:
        if self.down:
            raise Unavailable(f"{node} is down")
        if digest not in self.kept:
            raise FileNotFoundError(digest)
        yield self.kept[digest]

    async def has(self, node: str, digest: str) -> bool:
        return digest in self.kept


def test_objects_are_brought_here_and_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = Others()
    made = lambda directory: ClusterBlobs(FileBlobs(directory), others)  # noqa: E731
    monkeypatch.setattr(assembly, "FileBlobs", made)

    async def test() -> None:
        front = await assembly.assemble(Config(home=tmp_path, port=0), 0)
        c = Cloud(front, json.loads((tmp_path / "credentials.json").read_text()))
        local = front.parts.blobs.local

        async def get(api: Any, **headers: str) -> tuple[int, bytes]:
            status, _, body = await c.ask(api, c.request("GET", "/bucket/k", b"", headers))
            return status, body

        await c.done("PUT", "/bucket")
        await c.done("PUT", "/bucket/k", DATA)
        await front.parts.blobs.settle()
        (digest,) = local.list()
        for api in (c.usual, c.short):
            for headers, status, expected in (
                ({}, 200, DATA),
                ({"range": "bytes=2000000-2500000"}, 206, DATA[2_000_000:2_500_001]),
            ):
                os.unlink(local.path(digest))
                assert await get(api, **headers) == (status, expected)
                path = Path(local.path(digest))
                wrong = bytearray(path.read_bytes())
                wrong[2_100_000] ^= 1
                path.write_bytes(bytes(wrong))
                assert await get(api, **headers) == (status, expected)
                assert path.read_bytes() == others.kept[digest]
        # Nobody has it now: the answer says so before any byte, and may be asked again.
        os.unlink(local.path(digest))
        others.down = True
        assert (await get(c.short))[0] == 503
        others.down = False
        assert await get(c.short) == (200, DATA)
        # Without a second copy an upload is not acknowledged.
        others.down = True
        put = c.request("PUT", "/bucket/new", DATA + b"x")
        assert (await c.ask(c.usual, put))[0] == 503
        assert (await c.ask(c.usual, c.request("GET", "/bucket/new")))[0] == 404
        await front.parts.store.close()

    asyncio.run(test())
