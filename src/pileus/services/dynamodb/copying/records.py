"""A table's history as the copies read it: sealed stretches first, then rows; and its upkeep."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import msgspec

from pileus.services.dynamodb.history import Record, past, record_of
from pileus.state import keys

READ_ROWS = 500
SEAL_ROWS = 2000
SEAL_BYTES = 1024 * 1024
_encode = msgspec.msgpack.Encoder().encode
_records = msgspec.msgpack.Decoder(list[Record]).decode


class Stretch(NamedTuple):
    """A sealed part of history; times are the least and the greatest in it."""

    digest: str
    last_ms: int
    first_ms: int
    first: bytes
    records: int


_stretch = msgspec.msgpack.Decoder(Stretch).decode


async def read_blob(blobs: Any, digest: str) -> bytes:
    """A blob of a few megabytes, whole."""
    return b"".join([chunk async for chunk in blobs.read(digest)])


async def records(
    room: Any, history: str, start: bytes, skip_ms: int = -1
) -> AsyncIterator[list[Record]]:
    """Records at and above place ``start``, in order, some at a time, up to all that are there
    when the last are read. Stretches that end at or before ``skip_ms`` are passed over."""
    store = room.store
    end = keys.after_prefix(keys.table_prefix(history))
    past_end = keys.after_prefix(keys.table_prefix(past(history)))
    while True:
        # Rows first: what is sealed between the two reads is then found in the stretches.
        rows = store.pairs(keys.key(history, b"", start), end, READ_ROWS)
        sealed = store.pairs(keys.key(past(history), b"", start), past_end, 1)
        if sealed:
            stretch = _stretch(sealed[0][1])
            if stretch.last_ms > skip_ms:
                found = await _open(room, stretch)
                yield [r for r in found if r.place >= start]
            start = keys.split(sealed[0][0])[2] + b"\x00"
        elif rows:
            found = [record_of(*row) for row in rows]
            yield found
            start = found[-1].place + b"\x00"
        else:
            return


async def _open(room: Any, stretch: Stretch) -> list[Record]:
    packed = await read_blob(room.parts.blobs, stretch.digest)
    return await asyncio.to_thread(lambda: _records(zlib.decompress(packed)))


async def place_at(room: Any, history: str, at_ms: int, end: bytes) -> bytes:
    """The place of the first write later than ``at_ms``, at most ``end``."""
    async for found in records(room, history, b"", skip_ms=at_ms):
        for record in found:
            if record.place >= end:
                return end
            if record.at_ms > at_ms:
                return record.place
    return end


# -- upkeep -----------------------------------------------------------------------------------


async def seal(room: Any, history: str, rows_max: int = SEAL_ROWS) -> int:
    """Pack full stretches of history rows into blobs; answers how many stretches."""
    prefix = keys.table_prefix(history)
    count = 0
    while True:
        rows = room.store.pairs(prefix, keys.after_prefix(prefix), rows_max)
        size = fit = 0
        for _, value in rows:
            size += len(value)
            fit += 1
            if size >= SEAL_BYTES:
                break
        if size < SEAL_BYTES and fit < rows_max:
            return count
        found = [record_of(*row) for row in rows[:fit]]
        packed = await asyncio.to_thread(_pack, found)
        digest = await room.parts.blobs.put(packed)
        times = [r.at_ms for r in found]
        stretch = Stretch(digest, max(times), min(times), found[0].place, fit)
        args = [history, found[0].place, found[-1].place, fit, digest, _encode(stretch)]
        await room.store.submit("dynamodb.seal", args)
        count += 1


def _pack(found: list[Record]) -> bytes:
    return zlib.compress(_encode(found), 1)


async def trim(room: Any, history: str, limit_ms: int, batch: int = READ_ROWS) -> None:
    """Forget what ended before ``limit_ms``."""
    store = room.store
    while await store.submit("dynamodb.unseal", [history, limit_ms, batch]) == batch:
        continue
    prefix = keys.table_prefix(history)
    if store.pairs(*_sealed(history), 1):
        return  # rows are newer than any stretch
    while True:
        rows = store.pairs(prefix, keys.after_prefix(prefix), batch)
        old = [[k, None] for k, v in rows if record_of(k, v).at_ms < limit_ms]
        if old:
            await store.submit("write", old)
        if len(old) < batch:
            return


def _sealed(history: str) -> tuple[bytes, bytes]:
    prefix = keys.table_prefix(past(history))
    return prefix, keys.after_prefix(prefix)


def due(room: Any, history: str, limit_ms: int) -> bool:
    """Is there anything for ``trim``? Looks at the oldest record only."""
    sealed = room.store.pairs(*_sealed(history), 1)
    if sealed:
        return bool(_stretch(sealed[0][1]).last_ms < limit_ms)
    prefix = keys.table_prefix(history)
    rows = room.store.pairs(prefix, keys.after_prefix(prefix), 1)
    return bool(rows) and record_of(*rows[0]).at_ms < limit_ms
