"""Encrypted bytes: segments of 64 KiB, each sealed alone, so that a range opens only what it needs.

AES-256-GCM under a key of the body's own: BLAKE2b (RFC 7693), keyed with the secret, over the
body's 16-byte salt. A segment's nonce is its place and whether it is the last (STREAM; Hoang,
Reyhanitabar, Rogaway, Vizár 2015), so that none can be moved, repeated or cut off unnoticed, and no
nonce is used twice under a key. A body of n bytes has max(1, ceil(n / 64 KiB)) segments of 16 bytes
more each.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, cast

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from pileus.errors import Unavailable, WrongDigest

SEGMENT_BYTES = 64 * 1024
TAG_BYTES = 16
SALT_BYTES = 16
SEALED_BYTES = SEGMENT_BYTES + TAG_BYTES
BATCH = 16  # segments read and opened in one step: a megabyte
_LAST, _MORE = b"\x01", b"\x00"
_ONLY = bytes(11) + _LAST


def cipher(secret: bytes, salt: bytes) -> AESGCM:
    """The key of one body."""
    return AESGCM(
        hashlib.blake2b(salt, key=secret, digest_size=32, person=b"pileus-s3-data").digest()
    )


def seal_small(key: AESGCM, data: bytes) -> bytes:
    """A body of one segment."""
    return key.encrypt(_ONLY, data, None)


def seal_whole(scratch: Scratch, key: AESGCM, data: bytes) -> memoryview:
    """A body of at most ``BATCH`` segments, in the thread's own place: to be used before it seals
    or opens another."""
    last = max(len(data) - 1, 0) // SEGMENT_BYTES
    sealed = scratch.sealed[: len(data) + (last + 1) * TAG_BYTES]
    view = memoryview(data)
    for i in range(last + 1):
        place = sealed[i * SEALED_BYTES : (i + 1) * SEALED_BYTES]
        segment = view[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES]
        key.encrypt_into(_nonce(i, i == last), segment, None, place)
    return sealed


def open_small(key: AESGCM, sealed: bytes) -> bytes:
    """Its bytes; ``Unavailable`` when a bit of them is not as it was written."""
    try:
        return key.decrypt(_ONLY, sealed, None)
    except InvalidTag as error:
        raise damaged() from error


def damaged() -> Unavailable:
    return Unavailable("an object's bytes are damaged on the disk", "restore them from a backup")


def _nonce(index: int, last: bool) -> bytes:
    return index.to_bytes(11, "big") + (_LAST if last else _MORE)


class SealedWriter:
    """A blob writer that encrypts. The last segment is known only at the end, so one is held
    back. ``signed``: the SHA-256 of the plain bytes will be told to ``commit``."""

    def __init__(self, inner: Any, key: AESGCM, signed: bool = False) -> None:
        self._inner, self._key = inner, key
        self._plain = hashlib.sha256() if signed else None
        self._held = b""
        self._index = 0

    async def write(self, chunk: bytes) -> None:
        data = self._held + chunk if self._held else chunk
        count = (len(data) - 1) // SEGMENT_BYTES if data else 0
        if count:
            await self._inner.write(await asyncio.to_thread(self._sealed, data, count))
        self._held = bytes(data[count * SEGMENT_BYTES :])

    def _sealed(self, data: bytes, count: int) -> bytes:
        view, first = memoryview(data), self._index
        if self._plain is not None:
            self._plain.update(view[: count * SEGMENT_BYTES])
        self._index += count
        sealed = bytearray(count * SEALED_BYTES)  # one for all: the cipher's own cost more than it
        with memoryview(sealed) as out:
            for i in range(count):
                place = out[i * SEALED_BYTES : (i + 1) * SEALED_BYTES]
                segment = view[i * SEGMENT_BYTES : (i + 1) * SEGMENT_BYTES]
                self._key.encrypt_into(_nonce(first + i, False), segment, None, place)
        return cast(bytes, sealed)  # nobody changes it from here on

    async def commit(self, told: str = "") -> str:
        """The ciphertext's name; ``WrongDigest`` when the plain bytes do not hash to ``told``."""
        if self._plain is not None:
            self._plain.update(self._held)
            if self._plain.hexdigest() != told:
                raise WrongDigest(self._plain.hexdigest(), told)
        await self._inner.write(self._key.encrypt(_nonce(self._index, True), self._held, None))
        return str(await self._inner.commit())

    async def abort(self) -> None:
        await self._inner.abort()


class Scratch(threading.local):
    """A thread's place for a batch of sealed bytes: fresh memory costs more than ciphers do."""

    def __init__(self) -> None:
        self._place: memoryview | None = None

    @property
    def sealed(self) -> memoryview:
        """Made when the thread first wants it."""
        if self._place is None:
            self._place = memoryview(bytearray(BATCH * SEALED_BYTES))
        return self._place


def opened(scratch: Scratch, fd: int, key: AESGCM, size: int, start: int, length: int) -> bytearray:
    """``length`` bytes from ``start`` of a body of ``size`` bytes, out of the segments they lie
    in (at most ``BATCH``)."""
    first, last = start // SEGMENT_BYTES, (start + length - 1) // SEGMENT_BYTES
    end = max(size - 1, 0) // SEGMENT_BYTES
    count = last - first + 1
    raw = scratch.sealed[: count * SEALED_BYTES]
    raw = raw[: os.preadv(fd, [raw], first * SEALED_BYTES)]
    plain = bytearray(max(len(raw) - count * TAG_BYTES, 0))
    try:
        with memoryview(plain) as out:
            for i in range(count):
                sealed = raw[i * SEALED_BYTES : (i + 1) * SEALED_BYTES]
                at = i * SEGMENT_BYTES
                place = out[at : at + len(sealed) - TAG_BYTES]
                key.decrypt_into(_nonce(first + i, first + i == end), sealed, None, place)
    except (InvalidTag, ValueError) as error:
        raise damaged() from error
    skip = start - first * SEGMENT_BYTES
    found = plain if len(plain) == length else plain[skip : skip + length]
    if len(found) != length:
        raise damaged()
    return found


class Opened(AsyncIterator[bytes]):
    """The same, a megabyte at a time, off the loop. Closes ``fd`` at its end, or when nobody wants
    it any more. ``keep`` is given a body that was opened whole in one step. ``again`` is asked once
    for a better file when the bytes are damaged; -1: there is none."""

    def __init__(
        self,
        scratch: Scratch,
        fd: int,
        key: AESGCM,
        size: int,
        start: int,
        length: int,
        keep: Callable[[bytes], None] | None = None,
        again: Callable[[], Awaitable[int]] | None = None,
    ) -> None:
        self._scratch = scratch
        self._fd, self._key, self._size = fd, key, size
        self._again = again
        self._start, self._left = start, length
        self._keep = keep

    async def __anext__(self) -> bytes:
        if self._left <= 0:
            await self.aclose()
            raise StopAsyncIteration
        step = BATCH * SEGMENT_BYTES - self._start % SEGMENT_BYTES
        take, start = min(self._left, step), self._start
        self._start, self._left = start + take, self._left - take
        try:
            found = await self._open(start, take)
        except Unavailable:
            found = await self._opened_again(start, take)
        if self._keep is not None and take == self._size:
            self._keep(found)
        return found

    async def _opened_again(self, start: int, take: int) -> bytes:
        """The same bytes out of a file that was mended meanwhile."""
        again, self._again = self._again, None
        fd = -1 if again is None else await again()
        if fd < 0:
            raise damaged()
        os.close(self._fd)
        self._fd = fd
        return await self._open(start, take)

    async def _open(self, start: int, take: int) -> bytes:
        told = self._fd, self._key, self._size, start, take
        # Nobody changes it from here on; a copy into bytes would cost as much again.
        return cast(bytes, await asyncio.to_thread(opened, self._scratch, *told))

    async def aclose(self) -> None:
        fd, self._fd, self._left = self._fd, -1, 0
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
