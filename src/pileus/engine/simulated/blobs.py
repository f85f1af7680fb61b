"""Blobs in memory; a crash loses those whose ``commit`` had not answered."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable

from pileus.engine.embedded.blobs import Made, made
from pileus.errors import WrongDigest

CHUNK_BYTES = 1024 * 1024


class SimulatedBlobs:
    """See ``pileus.engine.Blobs``."""

    def __init__(self) -> None:
        self._content: dict[str, bytes] = {}

    def create(self, *, hashed: bool = True) -> SimulatedBlobWriter:
        return SimulatedBlobWriter(self._content, hashed)

    async def put(self, data: Made, check: Callable[[], None] | None = None) -> str:
        body = await asyncio.to_thread(made, data) if callable(data) else data
        if check is not None:
            await asyncio.to_thread(check)
        writer = self.create()
        await writer.write(body)
        return await writer.commit()

    def _bytes(self, digest: str) -> bytes:
        if digest not in self._content:
            raise FileNotFoundError(digest)
        return self._content[digest]

    def open(self, digest: str) -> int:
        fd = os.memfd_create(f"blob-{digest[:8]}")
        with os.fdopen(os.dup(fd), "wb") as out:
            out.write(self._bytes(digest))
        os.lseek(fd, 0, os.SEEK_SET)
        return fd

    def size(self, digest: str) -> int:
        return len(self._bytes(digest))

    async def read(self, digest: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        data = self._bytes(digest)
        end = len(data) if length < 0 else min(len(data), offset + length)
        for at in range(offset, end, CHUNK_BYTES):
            yield data[at : min(at + CHUNK_BYTES, end)]

    async def delete(self, digest: str, idle_s: float = 0) -> bool:
        self._content.pop(digest, None)
        return True

    def list(self) -> list[str]:
        return list(self._content)

    async def fetch(self, digest: str) -> None:
        self._bytes(digest)

    async def mend(self, digest: str) -> bool:
        return False


class SimulatedBlobWriter:
    """One blob being written."""

    def __init__(self, content: dict[str, bytes], hashed: bool) -> None:
        self.size = 0
        self._content = content
        self._hashed = hashed
        self._data = bytearray()

    async def write(self, chunk: bytes) -> None:
        self._data += chunk
        self.size = len(self._data)

    async def commit(self, digest: str = "") -> str:
        data = bytes(self._data)
        computed = hashlib.sha256(data).hexdigest() if self._hashed else digest
        if not computed or (digest and digest != computed):
            raise WrongDigest(computed, digest)
        self._content[computed] = data
        return computed

    async def abort(self) -> None:
        self._data.clear()
