"""A backup's items: chunks of a few megabytes, each a blob named by a row.

Row ``dynamodb.chunks``/``backup id``/number: ``[digest, items, bytes of items]``. A chunk is
``zlib(msgpack([[key within the table, text], …]))``.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from pileus.services.dynamodb.copying.records import read_blob
from pileus.services.dynamodb.copying.snapshot import Items
from pileus.services.dynamodb.history import blob_reference
from pileus.services.dynamodb.values import item_size
from pileus.state import keys

CHUNKS = "dynamodb.chunks"
CHUNK_BYTES = 4 * 1024 * 1024
DROP_ROWS = 200
_encode = msgspec.msgpack.Encoder().encode


class Chunk(NamedTuple):
    digest: str
    items: int
    size: int


_chunk = msgspec.msgpack.Decoder(Chunk).decode
_items = msgspec.msgpack.Decoder(list[tuple[bytes, bytes]]).decode


def chunk_key(backup_id: str, number: int) -> bytes:
    return keys.key(CHUNKS, backup_id, number.to_bytes(4, "big"))


def chunks(store: Any, backup_id: str) -> Iterator[Chunk]:
    """A backup's chunks, in order."""
    for row in store.partition(CHUNKS, backup_id):
        yield _chunk(row.value)


def totals(store: Any, backup_id: str) -> tuple[int, int]:
    """(items, bytes) of the chunks there are."""
    found = list(chunks(store, backup_id))
    return sum(c.items for c in found), sum(c.size for c in found)


async def read(room: Any, chunk: Chunk) -> Items:
    """A chunk's items."""
    packed = await read_blob(room.parts.blobs, chunk.digest)
    return await asyncio.to_thread(lambda: _items(zlib.decompress(packed)))


async def drop(room: Any, backup_id: str) -> None:
    """Forget a backup's chunks, a few at a time; the collector removes the blobs."""
    store = room.store
    while rows := store.partition(CHUNKS, backup_id, DROP_ROWS):
        gone = [[r.key, None] for r in rows]
        gone += [[blob_reference(_chunk(r.value).digest, r.key), None] for r in rows]
        await store.submit("write", gone)


class Writer:
    """Collects items into chunks. ``add`` may write one, ``close`` writes the last."""

    def __init__(self, room: Any, backup_id: str) -> None:
        self._room = room
        self._backup_id = backup_id
        self._held: Items = []
        self._size = 0
        self._number = 0

    async def add(self, items: Items) -> None:
        self._held += items
        self._size += sum(len(text) for _, text in items)
        if self._size >= CHUNK_BYTES:
            await self._write()

    async def close(self) -> None:
        if self._held:
            await self._write()

    async def _write(self) -> None:
        held, self._held, self._size = self._held, [], 0
        packed, size = await asyncio.to_thread(_pack, held)
        digest = await self._room.parts.blobs.put(packed)
        key = chunk_key(self._backup_id, self._number)
        self._number += 1
        told = _encode(Chunk(digest, len(held), size))
        await self._room.store.submit("write", [[key, told], [blob_reference(digest, key), b""]])


def _pack(items: Items) -> tuple[bytes, int]:
    """The chunk's bytes, and the items' size as the service counts it."""
    size = sum(item_size(msgspec.json.decode(text)) for _, text in items)
    return zlib.compress(_encode(items), 1), size
