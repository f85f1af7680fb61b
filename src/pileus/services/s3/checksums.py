"""Checksums of objects (S3 user guide, "Checking object integrity").

``Digest`` runs over a body on a thread; ``algorithm_of`` says which checksum a request asks for.
What comes without any is kept with ``DEFAULT``, as S3 does since December 2024.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
import zlib
from binascii import b2a_base64
from collections.abc import Callable, Mapping
from functools import cache

from pileus.errors import AwsError
from pileus.services.checksums import SIZES, encoded, native, new, raw_of
from pileus.services.s3 import faults

ALGORITHMS = tuple(SIZES)
DEFAULT = "CRC64NVME"
_EIGHT_BYTES = struct.Struct(">Q").pack
HEADERS = {f"x-amz-checksum-{a.lower()}": a for a in ALGORITHMS}
_NAMES = {a: h for h, a in HEADERS.items()}
MEMBERS = {f"Checksum{a}": a for a in ALGORITHMS}


@cache
def _crc64nvme() -> Callable[[bytes], int]:
    found: Callable[[bytes], int] = native().crc64nvme
    return found


def default_of(data: bytes) -> dict[str, str]:
    """The default checksum of a body in memory."""
    raw = _EIGHT_BYTES(_crc64nvme()(data))
    return {DEFAULT: binascii.b2a_base64(raw, newline=False).decode()}


def of(algorithm: str, data: bytes) -> dict[str, str]:
    """The checksum of a body in memory by one algorithm, the default one for ''."""
    if not algorithm or algorithm == DEFAULT:
        return default_of(data)
    if algorithm == "CRC32":  # what most SDKs send
        raw = zlib.crc32(data).to_bytes(4, "big")
        return {algorithm: binascii.b2a_base64(raw, newline=False).decode()}
    digest = new(algorithm)
    digest.update(data)
    return {algorithm: encoded(digest.digest())}


def text_of(algorithm: str) -> Callable[[bytes], bytes]:
    """What makes a body's checksum by one algorithm, in base64."""
    if algorithm == DEFAULT:
        crc64nvme = _crc64nvme()
        return lambda data: b2a_base64(_EIGHT_BYTES(crc64nvme(data)), newline=False)
    if algorithm == "CRC32":
        return lambda data: b2a_base64(zlib.crc32(data).to_bytes(4, "big"), newline=False)
    return lambda data: of(algorithm, data)[algorithm].encode()


def combined(algorithm: str, parts: list[tuple[str, int]]) -> str:
    """The CRC of a whole from the CRCs (base64) and sizes of its parts."""
    combine = {
        "CRC32": native().combine_crc32,
        "CRC32C": native().combine_crc32c,
        "CRC64NVME": native().combine_crc64nvme,
    }[algorithm]
    whole = 0
    for told, size in parts:
        whole = combine(whole, int.from_bytes(base64.b64decode(told), "big"), size)
    return encoded(whole.to_bytes(SIZES[algorithm], "big"))


class Digest:
    """MD5 and further checksums over the same bytes."""

    def __init__(self, *algorithms: str) -> None:
        self._md5 = hashlib.md5(usedforsecurity=False)
        self._more = {a: new(a) for a in algorithms}

    def update(self, data: bytes) -> None:
        self.update_md5(data)
        self.update_more(data)

    def update_md5(self, data: bytes) -> None:
        self._md5.update(data)

    def update_more(self, data: bytes) -> None:
        """The further checksums alone: they take a tenth of what MD5 takes."""
        for more in self._more.values():
            more.update(data)

    @property
    def md5(self) -> bytes:
        return self._md5.digest()

    @property
    def texts(self) -> dict[str, str]:
        """The further checksums in base64."""
        return {a: encoded(more.digest()) for a, more in self._more.items()}


def algorithm_of(headers: Mapping[str, str]) -> str:
    """The checksum a request carries or asks for, '' for none. ``InvalidRequest`` for more than
    one or an unknown one."""
    told = {a for h, a in HEADERS.items() if h in headers}
    trailer = headers.get("x-amz-trailer", "").strip().lower()
    if trailer in HEADERS:
        told.add(HEADERS[trailer])
    if len(told) > 1:
        raise faults.invalid_request(
            "Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed."
        )
    if told:
        return told.pop()
    asked = headers.get("x-amz-sdk-checksum-algorithm", "")
    return check_algorithm(asked) if asked else ""


def kept_of(told: str, more: str) -> tuple[str, ...]:
    """The checksums to compute: the one told and one more, '' for none."""
    return tuple({a: None for a in (told, more) if a})


def check_algorithm(asked: str) -> str:
    if asked.upper() not in ALGORITHMS:
        raise faults.invalid_request(
            "Checksum algorithm provided is unsupported. Please try again with any of the valid"
            f" types: [{', '.join(ALGORITHMS)}]"
        )
    return asked.upper()


def check_value(algorithm: str, told: str) -> str:
    """A base64 checksum of the right size, or ``InvalidRequest``."""
    header = f"x-amz-checksum-{algorithm.lower()}"
    if raw_of(algorithm, told) is None:
        raise faults.invalid_request(f"Value for {header} header is invalid.")
    return told


def verify(headers: Mapping[str, str], digest: Digest) -> dict[str, str]:
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
    found = digest.texts
    for algorithm, text in found.items():
        told = headers.get(f"x-amz-checksum-{algorithm.lower()}")
        if told is not None and check_value(algorithm, told) != text:
            raise faults.bad_digest(algorithm)
    return found


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


def answer_lines(checks: Mapping[str, str]) -> str:
    """The same of a whole object, as the lines of an answer's head."""
    if len(checks) == 1:  # the usual case, in one piece
        ((algorithm, told),) = checks.items()
        return f"{_NAMES[algorithm]}: {told}\r\nx-amz-checksum-type: FULL_OBJECT\r\n"
    return "".join(f"{name}: {value}\r\n" for name, value in answer_headers(checks, ""))


def like(whole: Mapping[str, str], part: Mapping[str, str]) -> dict[str, str]:
    """Of a part's checksums the one of its object's algorithm."""
    return {a: part[a] for a in whole if a in part}


def members(checks: Mapping[str, str]) -> dict[str, str]:
    """Checksums as the model's members."""
    return {f"Checksum{a}": v for a, v in checks.items()}
