"""A version's bytes, whole or a range of them, out of its row or its blobs; opened where sealed."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

from pileus.services.call import FileBody
from pileus.services.s3 import segments
from pileus.services.s3.encryption import Secrets
from pileus.services.s3.layout import Piece, pieces
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta


def inline(meta: Meta, value: bytes, secrets: Secrets) -> bytes:
    """The bytes in an object's row."""
    kept = value[4 + int.from_bytes(value[:4], "big") :]
    if meta.seal is None:
        return kept
    return segments.open_small(secrets.cipher(meta.seal), kept)


def body_of(room: Room, meta: Meta, value: bytes, start: int, length: int, secrets: Secrets) -> Any:
    """``length`` bytes of a version from ``start``: bytes, a slice of a file, or an iterator.
    ``FileNotFoundError`` when a blob is not on this node: ``bring`` it."""
    if not meta.blob and not meta.upload:
        kept = inline(meta, value, secrets)
        return kept if length == len(kept) else kept[start : start + length]
    if length == 0:
        return b""
    found = pieces(room, meta, start, length)
    if len(found) == 1:
        piece = found[0]
        fd = room.blobs.open(piece.blob)
        if piece.seal is None:
            return FileBody(fd, piece.offset, piece.length)
        cipher, again = secrets.cipher(piece.seal), partial(reopened, room, piece.blob)
        told = (piece.size, piece.offset, piece.length)
        return segments.Opened(room.scratch, fd, cipher, *told, again=again)
    return _several(room, found, secrets)


async def bring(room: Room, meta: Meta, start: int, length: int) -> None:
    """Have the first of the blobs ``body_of`` needs here, if it is not; the others come when they
    are reached. ``Unavailable`` when no node can give it."""
    os.close(await opened(room, pieces(room, meta, start, length)[0].blob))


async def opened(room: Room, blob: str) -> int:
    """A blob's file, brought here first when it is on other nodes only."""
    try:
        return int(room.blobs.open(blob))
    except FileNotFoundError:
        await room.blobs.fetch(blob)
        return int(room.blobs.open(blob))


async def reopened(room: Room, blob: str) -> int:
    """The file of a blob whose bytes made no sense, when they are right now; else -1."""
    return int(room.blobs.open(blob)) if await room.blobs.mend(blob) else -1


async def _several(room: Room, found: list[Piece], secrets: Secrets) -> AsyncIterator[bytes]:
    for piece in found:
        if piece.seal is None:
            async for chunk in room.blobs.read(piece.blob, piece.offset, piece.length):
                yield chunk
            continue
        cipher, again = secrets.cipher(piece.seal), partial(reopened, room, piece.blob)
        told = (piece.size, piece.offset, piece.length)
        fd = await opened(room, piece.blob)
        async for chunk in segments.Opened(room.scratch, fd, cipher, *told, again=again):
            yield chunk


async def chunks(
    room: Room, meta: Meta, value: bytes, start: int, length: int, secrets: Secrets
) -> AsyncIterator[bytes]:
    """The same bytes for a copy."""
    if not meta.blob and not meta.upload:
        yield inline(meta, value, secrets)[start : start + length]
        return
    async for chunk in _several(room, pieces(room, meta, start, length), secrets):
        yield chunk
