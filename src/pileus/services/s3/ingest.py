"""Bytes coming in: small ones stay in memory, the rest goes to a blob while it is hashed.

Up to a megabyte is gathered and becomes a blob in one step, which waits for what the client told
and not for MD5 (the ETag needs it). Of what is longer, MD5 and the checksum run on a thread beside
the blob's own hash and write, on one block while the next one arrives; where the client told no
other digest the sync need not wait for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import Future
from dataclasses import dataclass
from hashlib import md5, sha256
from typing import Any

from pileus.errors import AwsError, WrongDigest
from pileus.services.call import HttpRequest
from pileus.services.s3.checksums import (
    DEFAULT,
    HEADERS,
    Digest,
    algorithm_of,
    check_md5,
    check_value,
    default_of,
    kept_of,
    verify,
)
from pileus.services.s3.encryption import Sealer
from pileus.services.s3.faults import not_built
from pileus.services.s3.room import Room
from pileus.services.s3.rows import INLINE_BYTES_MAX, Seal
from pileus.services.s3.segments import (
    BATCH,
    SEGMENT_BYTES,
    SealedWriter,
    seal_small,
    seal_whole,
)

OBJECT_BYTES_MAX = 5 * 1024**3
BLOCK_BYTES = 512 * 1024
WHOLE_BYTES_MAX = BATCH * SEGMENT_BYTES  # waited for; what is longer is written as it comes
DIGEST_HEADERS = frozenset(
    {*HEADERS, "content-md5", "x-amz-trailer", "x-amz-sdk-checksum-algorithm"}
)


@dataclass(slots=True)
class Body:
    """What came in: inline ``data``, or the name of a durable ``blob``."""

    size: int
    etag: str
    data: bytes = b""
    blob: str = ""
    checks: dict[str, str] | None = None
    seal: Seal | None = None


async def receive(
    room: Room,
    request: HttpRequest,
    sealer: Sealer | None,
    inline: bool = True,
    more: str = "",
) -> Body:
    """Take the request's body, checked against Content-MD5 and checksum, and encrypt it; a blob is
    durable. ``sealer`` None: into an upload that was begun before anything was encrypted.
    ``more``: a checksum to keep beside the one told; an object (``inline``) has one always."""
    headers = request.headers
    algorithm = algorithm_of(headers)
    algorithms = kept_of(algorithm, more if algorithm or not inline else DEFAULT)
    _check_told(headers, algorithm)
    if request.stream is not None and 0 <= request.stream.length <= INLINE_BYTES_MAX:
        await request.read()  # a small body comes this way when its sender asked first (Expect)
    stream = request.stream
    if stream is None:
        body = request.body
        if not body and "content-length" not in headers:
            raise AwsError(
                "MissingContentLength", "You must provide the Content-Length HTTP header.", 411
            )
        if inline and len(body) <= INLINE_BYTES_MAX:
            return sealed(small(headers, body), sealer)
        if len(body) > WHOLE_BYTES_MAX:
            return await drain(room, _once(body), headers, algorithms, sealer, inline)
        return await _whole(room, body, headers, algorithms, sealer)
    if stream.length < 0:
        raise not_built("Transfer-Encoding")  # of no told length: only aws-chunked tells it
    if stream.length > OBJECT_BYTES_MAX:
        raise too_large(stream.length)
    return await drain(room, stream, headers, algorithms, sealer, inline, stream.length)


def small(headers: dict[str, str], body: bytes) -> Body:
    """A body that stays in its object's row."""
    if DIGEST_HEADERS.isdisjoint(headers):
        etag = md5(body, usedforsecurity=False).hexdigest()
        return Body(len(body), etag, body, "", default_of(body))
    algorithm = algorithm_of(headers)
    _check_told(headers, algorithm)
    digest = Digest(algorithm or DEFAULT)
    digest.update(body)
    checks = verify(headers, digest)
    return Body(len(body), digest.md5.hex(), body, checks=checks)


def sealed(body: Body, sealer: Sealer | None) -> Body:
    """A body in memory, encrypted."""
    if sealer is not None:
        body.data = seal_small(sealer.cipher(), body.data)
        body.etag, body.seal = sealer.etag(bytes.fromhex(body.etag)), sealer.seal
    return body


def _writer(room: Room, sealer: Sealer | None, signed: bool = False) -> Any:
    """A new blob's writer. What is encrypted is named by its ciphertext; ``signed``: the digest
    told at the end is that of the plain bytes."""
    if sealer is None:
        return room.blobs.create()
    return SealedWriter(room.blobs.create(), sealer.cipher(), signed)


def _stored(body: Body, sealer: Sealer | None) -> Body:
    """``body`` with a blob that ``_writer`` wrote."""
    if sealer is not None:
        body.etag, body.seal = sealer.etag(bytes.fromhex(body.etag)), sealer.seal
    return body


def too_large(size: int, limit: int = OBJECT_BYTES_MAX) -> AwsError:
    return AwsError(
        "EntityTooLarge",
        "Your proposed upload exceeds the maximum allowed size",
        fields={"ProposedSize": size, "MaxSizeAllowed": limit},
    )


def _check_told(headers: dict[str, str], algorithm: str) -> None:
    """Refuse malformed digests before any byte is read."""
    if "content-md5" in headers:
        check_md5(headers["content-md5"])
    told = headers.get(f"x-amz-checksum-{algorithm.lower()}") if algorithm else None
    if told is not None:
        check_value(algorithm, told)


async def _whole(
    room: Room,
    data: bytes,
    headers: dict[str, str],
    algorithms: tuple[str, ...],
    sealer: Sealer | None,
    told: str = "",
) -> Body:
    """A body that is here already becomes a blob in one step on one thread, while its digests are
    computed on another: those it was told with first, since only what is as it was told gets a
    name; MD5 may last until the blob is synced. ``told``: the signed SHA-256, ``WrongDigest`` where
    it is another."""
    digest = Digest(*algorithms)
    verdict: Future[None] = Future()

    def hash_all() -> None:
        try:
            if told:
                found = sha256(data).hexdigest()
                if found != told:
                    raise WrongDigest(found, told)
            digest.update_more(data)
            if "content-md5" in headers:
                digest.update_md5(data)
            verify(headers, digest)
        except BaseException as error:
            verdict.set_exception(error)  # raised where the blob would have got its name
            return
        verdict.set_result(None)
        if "content-md5" not in headers:
            digest.update_md5(data)

    def make() -> bytes | memoryview:
        return data if sealer is None else seal_whole(room.scratch, sealer.cipher(), data)

    hashing = asyncio.get_running_loop().run_in_executor(None, hash_all)
    try:
        blob = await room.blobs.put(make, verdict.result)
    finally:
        await hashing
    checks = verify(headers, digest)
    return _stored(Body(len(data), digest.md5.hex(), blob=blob, checks=checks), sealer)


async def _once(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def _gathered(
    room: Room,
    chunks: Any,
    headers: dict[str, str],
    algorithms: tuple[str, ...],
    sealer: Sealer | None,
    length: int,
) -> Body:
    """A stream that is short enough to wait for its last byte."""
    told, check = "", None
    if hasattr(chunks, "unchecked"):  # SignedStream
        chunks, told, check = chunks.unchecked()
    if hasattr(chunks, "whole"):  # WholeStream
        data = await chunks.whole()
    else:
        data = b"".join([chunk async for chunk in chunks])
    if len(data) != length:
        raise _incomplete()
    try:
        return await _whole(room, data, headers, algorithms, sealer, told)
    except WrongDigest as error:
        if check is not None:
            check(error.found)
        raise


class _Intake:
    """Digest and file, beside each other on one block while the next one arrives."""

    def __init__(self, writer: Any, digest: Digest) -> None:
        self._writer, self._digest = writer, digest
        self._hashing: asyncio.Future[None] | None = None
        self._writing: asyncio.Future[None] | None = None

    async def take(self, block: bytes) -> None:
        """Begin with ``block`` when all is done with the one before."""
        await self.hashed()
        await self.written()
        loop = asyncio.get_running_loop()
        self._hashing = loop.run_in_executor(None, self._digest.update, block)
        self._writing = loop.create_task(self._writer.write(block))

    async def hashed(self) -> None:
        """The digest has seen all blocks."""
        hashing, self._hashing = self._hashing, None
        if hashing is not None:
            await hashing

    async def written(self) -> None:
        """So has the file; raises what it raised."""
        writing, self._writing = self._writing, None
        if writing is not None:
            await writing

    async def abort(self) -> None:
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing])
        await self._writer.abort()


async def drain(
    room: Room,
    chunks: Any,
    headers: dict[str, str],
    algorithms: tuple[str, ...],
    sealer: Sealer | None,
    inline: bool = True,
    length: int = -1,
    limit: int = OBJECT_BYTES_MAX,
) -> Body:
    """Take a stream; a failed one leaves nothing behind. ``headers`` may gain trailers."""
    if INLINE_BYTES_MAX < length <= min(WHOLE_BYTES_MAX, limit):
        return await _gathered(room, chunks, headers, algorithms, sealer, length)
    digest, told, check = Digest(*algorithms), "", None
    if hasattr(chunks, "unchecked"):  # SignedStream
        chunks, told, check = chunks.unchecked()
    writer = _writer(room, sealer, signed=bool(told))
    intake = _Intake(writer, digest)
    size = 0
    small = b""
    try:
        async for block in _blocks(chunks):
            size += len(block)
            if size > limit:
                raise too_large(size, limit)
            if inline and size <= INLINE_BYTES_MAX and not small:
                small = block
                continue
            if small:
                block, small = small + block, b""
            await intake.take(block)
        if length >= 0 and size != length:
            raise _incomplete()
        if small or not size:
            if check is not None:
                check(sha256(small).hexdigest())
            digest.update(small)
            checks = verify(headers, digest)
            if inline:
                await writer.abort()
                return sealed(Body(size, digest.md5.hex(), small, checks=checks), sealer)
            await writer.write(small)
        await intake.written()
        if not DIGEST_HEADERS.isdisjoint(headers):  # only what is as it was told gets a name
            await intake.hashed()
            verify(headers, digest)
        try:
            blob = str(await writer.commit(told))
        except WrongDigest as error:
            if check is not None:
                check(error.found)
            raise
        await intake.hashed()
        checks = verify(headers, digest)
    except BaseException:
        await intake.abort()
        raise
    return _stored(Body(size, digest.md5.hex(), blob=blob, checks=checks), sealer)


def _incomplete() -> AwsError:
    return AwsError(
        "IncompleteBody",
        "You did not provide the number of bytes specified by the Content-Length HTTP header",
    )


async def _blocks(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """Chunks gathered: a few thread hops each, not some per packet."""
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
