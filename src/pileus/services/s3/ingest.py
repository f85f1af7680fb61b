"""Bytes coming in: small ones stay in memory, the rest goes to a blob while it is hashed.

MD5 (the ETag needs it) and the checksum run on a thread beside the blob's own hash and write.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from hashlib import md5
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.services.s3.checksums import (
    HEADERS,
    Digest,
    algorithm_of,
    check_md5,
    check_value,
    verify,
)
from pileus.services.s3.room import Room
from pileus.services.s3.rows import INLINE_BYTES_MAX

OBJECT_BYTES_MAX = 5 * 1024**3
BLOCK_BYTES = 1024 * 1024
DIGEST_HEADERS = frozenset(
    {*HEADERS, "content-md5", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"}
)
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


@dataclass(slots=True)
class Body:
    """What came in: inline ``data``, or the name of a durable ``blob``."""

    size: int
    etag: str
    data: bytes = b""
    blob: str = ""
    checks: dict[str, str] | None = None


async def receive(room: Room, request: HttpRequest, inline: bool = True) -> Body:
    """Take the request's body, checked against Content-MD5 and checksum; a blob is durable."""
    headers = request.headers
    algorithm = algorithm_of(headers)
    _check_told(headers, algorithm)
    if request.stream is not None and 0 <= request.stream.length <= INLINE_BYTES_MAX:
        await request.read()  # a small body comes this way when its sender asked first (Expect)
    stream = request.stream
    if stream is None:
        body = request.body
        if inline and len(body) <= INLINE_BYTES_MAX:
            return small(headers, body)
        return await _whole(room, body, headers, algorithm, Digest(algorithm))
    if stream.length < 0:
        raise AwsError(
            "MissingContentLength", "You must provide the Content-Length HTTP header.", 411
        )
    if stream.length > OBJECT_BYTES_MAX:
        raise too_large(stream.length)
    return await drain(room, stream, headers, algorithm, inline, stream.length)


def small(headers: dict[str, str], body: bytes) -> Body:
    """A body that stays in its object's row."""
    if DIGEST_HEADERS.isdisjoint(headers):
        return Body(len(body), md5(body, usedforsecurity=False).hexdigest(), body)
    algorithm = algorithm_of(headers)
    _check_told(headers, algorithm)
    digest = Digest(algorithm)
    digest.update(body)
    checks = verify(headers, algorithm, digest)
    return Body(len(body), digest.md5.hex(), body, checks=checks)


def too_large(size: int) -> AwsError:
    return AwsError(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
        fields={"ProposedSize": size, "MaxSizeAllowed": OBJECT_BYTES_MAX},
    )


def _check_told(headers: dict[str, str], algorithm: str) -> None:
    """Refuse malformed digests before any byte is read."""
    if "content-md5" in headers:
        check_md5(headers["content-md5"])
    told = headers.get(f"x-amz-checksum-{algorithm.lower()}") if algorithm else None
    if told is not None:
        check_value(algorithm, told)


def _signed_sha256(headers: dict[str, str]) -> str:
    """The body's SHA-256 where the door has verified it (a signed Authorization header)."""
    told = headers.get("x-amz-content-sha256", "")
    return told if "authorization" in headers and _SHA256.match(told) else ""


async def _whole(
    room: Room, body: bytes, headers: dict[str, str], algorithm: str, digest: Digest
) -> Body:
    """A body that is here already."""
    known = _signed_sha256(headers)
    writer = room.blobs.create(hashed=not known)
    try:
        _, blob = await asyncio.gather(
            asyncio.to_thread(digest.update, body), _write(writer, body, known)
        )
        checks = verify(headers, algorithm, digest)
    except BaseException:
        await writer.abort()
        raise
    return Body(len(body), digest.md5.hex(), blob=blob, checks=checks)


async def _write(writer: Any, body: bytes, known: str) -> str:
    await writer.write(body)
    return str(await (writer.commit(known) if known else writer.commit()))


async def drain(
    room: Room,
    chunks: Any,
    headers: dict[str, str],
    algorithm: str,
    inline: bool = True,
    length: int = -1,
    limit: int = OBJECT_BYTES_MAX,
) -> Body:
    """Take a stream; a failed one leaves nothing behind. ``headers`` may gain trailers."""
    digest = Digest(algorithm)
    writer = room.blobs.create()
    size = 0
    small = b""
    try:
        async for block in _blocks(chunks):
            size += len(block)
            if size > limit:
                raise too_large(size)
            if inline and size <= INLINE_BYTES_MAX and not small:
                small = block
                continue
            if small:
                block, small = small + block, b""
            await asyncio.gather(asyncio.to_thread(digest.update, block), writer.write(block))
        if length >= 0 and size != length:
            raise AwsError(
                "IncompleteBody",
                "You did not provide the number of bytes specified by the Content-Length HTTP"
                " header",
            )
        if small or not size:
            digest.update(small)
            checks = verify(headers, algorithm, digest)
            if inline:
                await writer.abort()
                return Body(size, digest.md5.hex(), small, checks=checks)
            await writer.write(small)
        checks = verify(headers, algorithm, digest)
        blob = await writer.commit()
    except BaseException:
        await writer.abort()
        raise
    return Body(size, digest.md5.hex(), blob=blob, checks=checks)


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks gathered to about a megabyte: one thread hop each, not one per packet."""
    gathered: list[bytes] = []
    size = 0
    async for chunk in chunks:
        gathered.append(chunk)
        size += len(chunk)
        if size >= BLOCK_BYTES:
            yield b"".join(gathered)
            gathered, size = [], 0
    if gathered:
        yield b"".join(gathered)
