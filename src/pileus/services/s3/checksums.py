"""Checksums of objects (S3 user guide, "Checking object integrity").

``Digest`` runs over a body on a thread; ``wanted`` says which checksum a request asks for.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Callable, Mapping
from typing import Any

from pileus.errors import AwsError
from pileus.services.s3 import faults

ALGORITHMS = ("CRC32", "CRC32C", "CRC64NVME", "SHA1", "SHA256")
SIZES = {"CRC32": 4, "CRC32C": 4, "CRC64NVME": 8, "SHA1": 20, "SHA256": 32}
HEADERS = {f"x-amz-checksum-{a.lower()}": a for a in ALGORITHMS}
MEMBERS = {f"Checksum{a}": a for a in ALGORITHMS}


class Crc:
    """A CRC with hashlib's face. ``function``: (data, previous value) → value."""

    def __init__(self, function: Callable[[Any, int], int], size: int) -> None:
        self._function, self._size, self._value = function, size, 0

    def update(self, data: bytes) -> None:
        self._value = self._function(data, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(self._size, "big")


def new(algorithm: str) -> Any:
    """A running checksum (update, digest)."""
    if algorithm == "CRC32":
        return Crc(zlib.crc32, 4)
    if algorithm in ("SHA1", "SHA256"):
        return hashlib.new(algorithm.lower(), usedforsecurity=False)
    from awscrt import checksums  # 10 MB of native code: only for those who use it

    if algorithm == "CRC32C":
        return Crc(checksums.crc32c, 4)
    return Crc(checksums.crc64nvme, 8)


class Digest:
    """MD5 and, where asked for, one more checksum over the same bytes."""

    def __init__(self, algorithm: str = "") -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._more = new(algorithm) if algorithm else None

    def update(self, data: bytes) -> None:
        self._md5.update(data)
        if self._more is not None:
            self._more.update(data)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def text(self) -> str:
        """The further checksum in base64, '' without one."""
        return "" if self._more is None else encoded(self._more.digest())


def encoded(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def algorithm_of(headers: Mapping[str, str]) -> str:
    """The checksum a request carries or asks for, '' for none. ``InvalidRequest`` for more than
    one or an unknown one."""
    told = [a for h, a in HEADERS.items() if h in headers]
    if len(told) > 1:
        raise faults.invalid_request("Expecting a single x-amz-checksum- header")
    if told:
        return told[0]
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    if trailer in HEADERS:
        return HEADERS[trailer]
    asked = headers.get("x-amz-sdk-checksum-algorithm", "")
    return check_algorithm(asked) if asked else ""


def check_algorithm(asked: str) -> str:
    if asked.upper() not in ALGORITHMS:
        raise faults.invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid"
            " types: [CRC32, CRC32C, CRC64NVME, SHA1, SHA256]"
        )
    return asked.upper()


def check_value(algorithm: str, told: str) -> str:
    """A base64 checksum of the right size, or ``InvalidRequest``."""
    header = f"x-amz-checksum-{algorithm.lower()}"
    try:
        raw = base64.b64decode(told.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != SIZES[algorithm]:
        raise faults.invalid_request(f"Value for {header} header is invalid.")
    return told


def verify(headers: Mapping[str, str], algorithm: str, digest: Digest) -> dict[str, str]:
    """Compare what was told (header or trailer) with what was computed; answers what to keep."""
    told_md5 = headers.get("content-md5")
    if told_md5 is not None and check_md5(told_md5) != digest.md5:
        raise AwsError(
            "BadDigest",
            "The Content-MD5 you specified did not match what we received.",
            fields={
                "ExpectedDigest": told_md5,
                "CalculatedDigest": base64.b64encode(digest.md5).decode(),
            },
        )
    if not algorithm:
        return {}
    told = headers.get(f"x-amz-checksum-{algorithm.lower()}")
    if told is not None and check_value(algorithm, told) != digest.text:
        raise faults.bad_digest(algorithm)
    return {algorithm: digest.text}


def check_md5(told: str) -> bytes:
    """The sixteen bytes a Content-MD5 header stands for, or ``InvalidDigest``."""
    try:
        raw = base64.b64decode(told.encode("latin-1"), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != 16:
        raise AwsError(
            "InvalidDigest",
            "The Content-MD5 you specified was invalid.",
            fields={"Content-MD5": told},
        )
    return raw


def answer_headers(checks: Mapping[str, str], kind: str) -> list[tuple[str, str]]:
    """Checksum headers of an answer. ``kind``: FULL_OBJECT or COMPOSITE."""
    if not checks:
        return []
    out = [(f"x-amz-checksum-{a.lower()}", v) for a, v in checks.items()]
    out.append(("x-amz-checksum-type", kind or "FULL_OBJECT"))
    return out


def members(checks: Mapping[str, str]) -> dict[str, str]:
    """Checksums as the model's members."""
    return {f"Checksum{a}": v for a, v in checks.items()}
