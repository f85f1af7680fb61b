"""Running checksums by the names S3 gives them (S3 user guide, "Checking object integrity"): those
of bodies, and of the trailers of chunked ones. The CRCs and the xxHashes are awscrt's.
"""

from __future__ import annotations

import binascii
import hashlib
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

# In the order in which S3 names them; sizes in bytes.
SIZES = {
    "CRC32": 4,
    "CRC32C": 4,
    "CRC64NVME": 8,
    "MD5": 16,
    "SHA1": 20,
    "SHA256": 32,
    "SHA512": 64,
    "XXHASH128": 16,
    "XXHASH3": 8,
    "XXHASH64": 8,
}
_XXHASHES = {"XXHASH64": "xxhash64", "XXHASH3": "xxhash3_64", "XXHASH128": "xxhash3_128"}


class Running(Protocol):
    """hashlib's face."""

    def update(self, data: bytes, /) -> None: ...
    def digest(self) -> bytes: ...


class Crc:
    """``function``: (data, previous value) → value."""

    def __init__(self, function: Callable[[Any, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: bytes, /) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


class XxHash:
    """``kind`` in awscrt's words; the digest is in the canonical order, big-endian."""

    def __init__(self, kind: str) -> None:
        self._hash = getattr(native().XXHash, f"new_{kind}")()

    def update(self, data: bytes, /) -> None:
        self._hash.update(bytes(data))  # awscrt takes no view here; bytes are not copied

    def digest(self) -> bytes:
        return bytes(self._hash.finalize())


def new(algorithm: str) -> Running:
    """A running checksum; ``algorithm``: one of ``SIZES``."""
    if algorithm == "CRC32":
        return Crc(zlib.crc32, 4)
    if algorithm == "CRC32C":
        return Crc(native().crc32c, 4)
    if algorithm == "CRC64NVME":
        return Crc(native().crc64nvme, 8)
    if algorithm in _XXHASHES:
        return XxHash(_XXHASHES[algorithm])
    return hashlib.new(algorithm.lower(), usedforsecurity=False)


@cache
def native() -> Any:
    from awscrt import checksums  # 6 MB of native code: only for those who use it

    return checksums


def encoded(raw: bytes) -> str:
    """As headers tell it: base64."""
    return binascii.b2a_base64(raw, newline=False).decode()


def raw_of(algorithm: str, told: str) -> bytes | None:
    """The bytes that ``told`` stands for; None where they cannot be of this algorithm."""
    try:
        raw = binascii.a2b_base64(told.encode("latin-1"), strict_mode=True)
    except (binascii.Error, ValueError):
        return None
    return raw if len(raw) == SIZES[algorithm] else None
