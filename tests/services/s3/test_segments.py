"""Sealed bodies: any range of any body opens to what was written, and nothing else does."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given, settings
from hypothesis import strategies as st

from pileus.engine.embedded.blobs import FileBlobs
from pileus.errors import Unavailable
from pileus.services.s3.segments import (
    BATCH,
    SEALED_BYTES,
    SEGMENT_BYTES,
    TAG_BYTES,
    Opened,
    Scratch,
    SealedWriter,
    cipher,
    open_small,
    opened,
    seal_small,
)

SECRET, SALT = bytes(range(32)), bytes(16)
EDGES = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 3 * SEGMENT_BYTES]


class Blobs:
    """Blobs in a directory of the module's tests."""

    def __init__(self, path: Path) -> None:
        self.files = FileBlobs(path)

    def write(self, data: bytes, step: int) -> str:
        async def go() -> str:
            writer = SealedWriter(self.files.create(), cipher(SECRET, SALT))
            for at in range(0, len(data), step):
                await writer.write(data[at : at + step])
            return await writer.commit()

        return asyncio.run(go())

    def read(self, digest: str, size: int, start: int, length: int) -> bytes:
        async def go() -> bytes:
            fd = self.files.open(digest)
            body = Opened(Scratch(), fd, cipher(SECRET, SALT), size, start, length)
            return b"".join([chunk async for chunk in body])

        return asyncio.run(go())


@pytest.fixture(scope="module")
def blobs(tmp_path_factory: pytest.TempPathFactory) -> Blobs:
    return Blobs(tmp_path_factory.mktemp("blobs"))


@settings(max_examples=60, deadline=None)
@given(
    size=st.one_of(st.sampled_from(EDGES), st.integers(0, 3 * SEGMENT_BYTES + 5)),
    step=st.sampled_from([1000, SEGMENT_BYTES, SEGMENT_BYTES + 1, 1 << 20]),
    picks=st.lists(st.tuples(st.integers(0, 1 << 20), st.integers(0, 1 << 20)), max_size=6),
)
def test_any_range_of_any_body(
    blobs: Blobs, size: int, step: int, picks: list[tuple[int, int]]
) -> None:
    data = os.urandom(size)
    digest = blobs.write(data, step)
    assert blobs.files.size(digest) == size + TAG_BYTES * max(1, -(-size // SEGMENT_BYTES))
    assert blobs.read(digest, size, 0, size) == data
    for a, b in picks:
        start, end = sorted((a % (size + 1), b % (size + 1)))
        assert blobs.read(digest, size, start, end - start) == data[start:end]


def test_a_body_of_several_batches(blobs: Blobs) -> None:
    size = 2 * BATCH * SEGMENT_BYTES + 77
    data = os.urandom(size)
    digest = blobs.write(data, 1 << 20)
    assert blobs.read(digest, size, 0, size) == data
    start = BATCH * SEGMENT_BYTES - 3
    assert blobs.read(digest, size, start, 100_000) == data[start : start + 100_000]


def test_nothing_that_was_changed_opens(blobs: Blobs) -> None:
    """A bit, another order, a repeated, missing or foreign segment, another key, a wrong size."""
    size = 3 * SEGMENT_BYTES + 10
    digest = blobs.write(os.urandom(size), 1 << 20)
    path = Path(blobs.files.path(digest))
    whole = path.read_bytes()
    parts = [whole[i : i + SEALED_BYTES] for i in range(0, len(whole), SEALED_BYTES)]
    flipped = bytearray(whole)
    flipped[SEALED_BYTES + 5] ^= 4
    wrong = [
        bytes(flipped),
        b"".join([parts[1], parts[0], *parts[2:]]),
        b"".join([parts[0], parts[0], *parts[2:]]),
        b"".join(parts[:3]),
        whole[:-1],
        b"",
    ]
    for raw in wrong:
        path.write_bytes(raw)
        with pytest.raises(Unavailable, match="damaged"):
            blobs.read(digest, size, 0, size)
    path.write_bytes(b"".join(parts[:3]))  # cut at a segment's end, the size told to fit
    with pytest.raises(Unavailable, match="damaged"):
        blobs.read(digest, 3 * SEGMENT_BYTES, 0, 3 * SEGMENT_BYTES)
    path.write_bytes(whole)
    for secret, salt in ((bytes(32), SALT), (SECRET, b"s" * 16)):
        fd = os.open(path, os.O_RDONLY)
        with pytest.raises(Unavailable, match="damaged"):
            opened(Scratch(), fd, cipher(secret, salt), size, 0, 10)
        os.close(fd)


def test_a_small_body_is_one_segment() -> None:
    key = cipher(SECRET, SALT)
    for data in (b"", b"x", os.urandom(16 * 1024)):
        sealed = seal_small(key, data)
        assert len(sealed) == len(data) + TAG_BYTES
        assert open_small(key, sealed) == data
        with pytest.raises(Unavailable, match="damaged") as caught:
            open_small(key, sealed[:-1] + bytes([sealed[-1] ^ 1]))
        assert isinstance(caught.value.__cause__, InvalidTag)
