"""Bodies on their way to a blob (B1): what is stored is what was signed and told."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import threading
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pileus.engine.embedded.blobs import FileBlobs, Files
from pileus.errors import AwsError
from pileus.services.s3.checksums import Digest, algorithm_of, kept_of
from pileus.services.s3.encryption import Sealer
from pileus.services.s3.ingest import Body, drain
from pileus.services.s3.rows import AES256, Seal
from pileus.services.s3.segments import Opened, Scratch, open_small
from pileus.wire.payload import HashedStream

SEALER = Sealer(Seal(AES256, bytes(16), b"k"), bytes(32))
SIZES = [0, 1, 16 * 1024, 16 * 1024 + 1, 511 * 1024, 1024 * 1024, 1_700_000]


class Pieces:
    """A body as a connection hands it on, in pieces of any size."""

    def __init__(self, data: bytes, fails: bool = False) -> None:
        self.length = len(data)
        self._data, self._fails = data, fails

    async def __aiter__(self) -> AsyncIterator[bytes]:
        at, dice = 0, random.Random(len(self._data))
        while at < len(self._data):
            size = dice.randrange(1, 300_000)
            yield self._data[at : at + size]
            at += size
            await asyncio.sleep(0)
        if self._fails:
            raise ConnectionResetError("the client went away")


def drained(
    home: Path,
    stream: Any,
    headers: dict[str, str],
    inline: bool = True,
    known: bool = False,
    files: Files | None = None,
) -> Any:
    """The body, or the error; nothing may be left in the blobs' working directory. ``known``: its
    length was announced."""
    length = stream.length if known else -1

    async def run() -> Any:
        blobs = FileBlobs(home / "blobs", files)
        room: Any = SimpleNamespace(blobs=blobs, scratch=Scratch())
        try:
            body = await drain(
                room, stream, headers, kept_of(algorithm_of(headers), ""), SEALER, inline, length
            )
            assert body.seal == SEALER.seal
            if not body.blob:
                body.data = open_small(SEALER.cipher(), body.data)
                return body
            sealed = b"".join([chunk async for chunk in blobs.read(body.blob)])
            assert body.blob == hashlib.sha256(sealed).hexdigest()
            parts = Opened(
                Scratch(), blobs.open(body.blob), SEALER.cipher(), body.size, 0, body.size
            )
            body.data = b"".join([chunk async for chunk in parts])
            return body
        except (AwsError, ConnectionResetError) as error:
            return error
        finally:
            assert os.listdir(home / "blobs" / "tmp") == []
            blobs.close()

    (home / "blobs").mkdir(exist_ok=True)
    return asyncio.run(run())


def digests(data: bytes) -> dict[str, str]:
    def text(raw: bytes) -> str:
        return base64.b64encode(raw).decode()

    return {
        "content-md5": text(hashlib.md5(data).digest()),
        "x-amz-checksum-crc32": text(zlib.crc32(data).to_bytes(4, "big")),
        "x-amz-checksum-sha256": text(hashlib.sha256(data).digest()),
    }


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("inline", [True, False])
@pytest.mark.parametrize("known", [True, False])
def test_stored_as_it_came(tmp_path: Path, size: int, inline: bool, known: bool) -> None:
    data = os.urandom(size)
    signed = HashedStream(Pieces(data), hashlib.sha256(data).hexdigest())
    for stream in (Pieces(data), signed):
        told: list[dict[str, str]] = [{}, *({n: v} for n, v in digests(data).items())]
        for headers in told:
            body = drained(tmp_path, stream, headers, inline, known)
            assert isinstance(body, Body)
            assert (body.size, body.data, body.etag) == (size, data, hashlib.md5(data).hexdigest())
            assert bool(body.blob) == (not inline or size > 16 * 1024)


@pytest.mark.parametrize("size", SIZES[1:])
@pytest.mark.parametrize("known", [True, False])
def test_what_is_not_as_told_gets_no_name(tmp_path: Path, size: int, known: bool) -> None:
    data = os.urandom(size)
    other = hashlib.sha256(b"other").hexdigest()
    for inline in (True, False):
        refused = drained(tmp_path, HashedStream(Pieces(data), other), {}, inline, known)
        assert isinstance(refused, AwsError) and refused.code == "XAmzContentSHA256Mismatch"
        assert refused.fields["S3ComputedContentSHA256"] == hashlib.sha256(data).hexdigest()
        for name, value in digests(b"other").items():
            refused = drained(tmp_path, Pieces(data), {name: value}, inline, known)
            assert isinstance(refused, AwsError) and refused.code == "BadDigest"
        gone = drained(tmp_path, Pieces(data, fails=True), {}, inline, known)
        assert isinstance(gone, ConnectionResetError)
    assert not list((tmp_path / "blobs").glob("??/*"))


class Synced(Files):
    """Tells when a file is being synced: it has its name by then."""

    def __init__(self) -> None:
        self.syncing = threading.Event()

    def sync(self, fd: int) -> None:
        self.syncing.set()
        super().sync(fd)


def test_only_who_tells_the_md5_waits_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, files, update = os.urandom(300_000), Synced(), Digest.update_md5

    def late(self: Digest, data: bytes) -> None:
        assert files.syncing.wait(60), "the blob waits for its MD5"
        update(self, data)

    monkeypatch.setattr(Digest, "update_md5", late)
    for name, value in digests(data).items():
        files.syncing.clear()
        if name == "content-md5":
            files.syncing.set()
        body = drained(tmp_path, Pieces(data), {name: value}, known=True, files=files)
        assert isinstance(body, Body) and body.etag == hashlib.md5(data).hexdigest()
