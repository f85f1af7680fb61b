"""S3's checksums (S3 user guide, "Checking object integrity"): base64 of the big-endian value."""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from pileus.errors import AwsError


class Checksum(Protocol):
    def update(self, data: bytes) -> None: ...
    def text(self) -> str: ...


class _Crc:
    """A CRC by a function (data, previous) → value."""

    def __init__(self, function: Callable[[Any, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: bytes) -> None:
        self._value = self._function(data, self._value)

    def text(self) -> str:
        return base64.b64encode(self._value.to_bytes(self._size, "big")).decode()


class _Hash:
    def __init__(self, name: str) -> None:
        self._hash = hashlib.new(name)

    def update(self, data: bytes) -> None:
        self._hash.update(data)

    def text(self) -> str:
        return base64.b64encode(self._hash.digest()).decode()


def _crc32c() -> Checksum:
    from awscrt import checksums  # 10 MB of native code: only for those who use it

    return _Crc(checksums.crc32c, 4)


def _crc64nvme() -> Checksum:
    from awscrt import checksums

    return _Crc(checksums.crc64nvme, 8)


CHECKSUMS: dict[str, Callable[[], Checksum]] = {
    "crc32": lambda: _Crc(zlib.crc32, 4),
    "crc32c": _crc32c,
    "crc64nvme": _crc64nvme,
    "sha1": lambda: _Hash("sha1"),
    "sha256": lambda: _Hash("sha256"),
}


def checksum_mismatch(header: str) -> AwsError:
    """``header`` as ``x-amz-checksum-crc32``."""
    name = header.removeprefix("x-amz-checksum-").upper()
    return AwsError(
        "BadDigest", f"The {name} you specified did not match the calculated checksum.", 400
    )
