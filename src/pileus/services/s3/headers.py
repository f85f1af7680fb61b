"""Headers an object keeps and gives back (S3 API reference, PutObject and GetObject)."""

from __future__ import annotations

import base64
import contextlib
import email.utils
import re
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from urllib.parse import parse_qsl

from pileus.errors import AwsError
from pileus.services.s3 import faults, storage_classes

KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "expires")
DEFAULT_TYPE = "binary/octet-stream"
METADATA_BYTES_MAX = 2048
UNBUILT = ("x-amz-write-offset-bytes",)
_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = (
    "",
    *["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"],
)
_TAG_KEY_MAX, _TAG_VALUE_MAX, _TAGS_MAX = 128, 256, 10
BUCKET_TAGS_MAX = 50
_PLAIN_LETTER = re.compile(r"[ -~\t\r\n]")
_PLAIN = re.compile(r"[ -~\t\r\n]*")
_TAG = re.compile(r"[\w\s+\-=._:/@]*\Z", re.UNICODE)


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """What to store of a write's headers. Headers that ask for what is not built are refused."""
    out = {"content-type": headers.get("content-type") or DEFAULT_TYPE}
    size = 0
    for name, value in headers.items():
        if name in KEPT:
            if name == "content-encoding":
                value = _own_coding(value)
            if value:
                out[name] = value
        elif name.startswith("x-amz-"):
            if name.startswith("x-amz-meta-"):
                size += len(name) - 11 + len(value.encode())
                out[name] = value if _PLAIN.fullmatch(value) else mail_safe(value)
            elif name in UNBUILT:
                raise faults.not_built(name)
    if size > METADATA_BYTES_MAX:
        raise AwsError(
            "MetadataTooLarge",
            "Your metadata headers exceed the maximum allowed metadata size",
            fields={"Size": size, "MaxSizeAllowed": METADATA_BYTES_MAX},
        )
    redirect = headers.get("x-amz-website-redirect-location")
    if redirect:
        out["x-amz-website-redirect-location"] = check_redirect(redirect)
    storage_classes.put_into(out, storage_classes.check(headers.get(storage_classes.HEADER)))
    return out


def _own_coding(told: str) -> str:
    """A Content-Encoding without ``aws-chunked``, which is a matter of transfer."""
    if "aws-chunked" not in told.lower():
        return told
    left = [c.strip() for c in told.split(",") if c.strip().lower() != "aws-chunked"]
    return ", ".join(left)


def mail_safe(value: str) -> str:
    """Metadata beyond ASCII as S3 gives it back: RFC 2047, of UTF-8 ("Working with object
    metadata")."""
    with contextlib.suppress(UnicodeError):  # where it is text already
        value = value.encode("latin-1").decode()  # the door reads headers byte by byte
    data = value.encode()
    if 2 * len(_PLAIN_LETTER.findall(value)) > len(value):  # mostly ASCII (recorded of AWS)
        return f"=?UTF-8?Q?{''.join(map(_q, data))}?="
    return f"=?UTF-8?B?{base64.b64encode(data).decode()}?="


def _q(byte: int) -> str:
    """A byte of a text in RFC 2047's encoding Q."""
    if byte == 0x20:
        return "_"
    return chr(byte) if 0x20 < byte < 0x7F and byte not in b"=_?" else f"={byte:02X}"


def check_redirect(told: str) -> str:
    if not told.startswith(("/", "http://", "https://")) or len(told.encode()) > 2048:
        raise AwsError(
            "InvalidRedirectLocation",
            "The website redirect location must have a prefix of 'http://' or 'https://' or '/'.",
        )
    return told


def http_date(ms: int) -> str:
    """An RFC 9110 date: ``Sun, 06 Nov 1994 08:49:37 GMT``."""
    return _date_of(ms // 1000)


@lru_cache(maxsize=4096)
def _date_of(second: int) -> str:
    at = time.gmtime(second)
    clock = f"{at.tm_hour:02d}:{at.tm_min:02d}:{at.tm_sec:02d}"
    return f"{_DAYS[at.tm_wday]}, {at.tm_mday:02d} {_MONTHS[at.tm_mon]} {at.tm_year} {clock} GMT"


def parse_date(text: str) -> int | None:
    """Seconds since 1970 of an HTTP or ISO date, None for what is neither."""
    try:
        return int(email.utils.parsedate_to_datetime(text).timestamp())
    except (TypeError, ValueError, OverflowError):
        pass
    try:
        return int(datetime.fromisoformat(text).timestamp())
    except (ValueError, OverflowError):
        return None


def moment(ms: int) -> datetime:
    """A timestamp member; listings show whole seconds."""
    return datetime.fromtimestamp(ms // 1000, UTC)


def tags_of(told: str | None) -> dict[str, str]:
    """Tags of an ``x-amz-tagging`` header (URL query encoding)."""
    if not told:
        return {}
    try:
        pairs = parse_qsl(told, keep_blank_values=True, max_num_fields=1000)
        if len({name for name, _ in pairs}) < len(pairs) or not all(name for name, _ in pairs):
            raise ValueError(told)
        if not all(_TAG.match(text) for pair in pairs for text in pair):
            raise ValueError(told)
    except ValueError:
        raise faults.invalid_argument(
            "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query"
            " parameters without tag name duplicates.",
            "x-amz-tagging",
            told,
        ) from None
    return check_tags(pairs)


# In the words of the newer operations (recorded of AWS: CreateBucket, S3 Control's TagResource).
SYSTEM_TAG = (
    'User-defined tag keys can\'t start with "aws:". This prefix is reserved for system tags.'
    ' Remove "aws:" from your tag keys and try again.'
)


def check_tags(pairs: list[tuple[str, str]], limit: int = _TAGS_MAX) -> dict[str, str]:
    """Tags as a dictionary, or ``InvalidTag`` / ``BadRequest``."""
    if len(pairs) > limit:
        raise AwsError(
            "BadRequest",
            f"Object tags cannot be greater than {limit}"
            if limit == _TAGS_MAX
            else f"Bucket tag count cannot be greater than {limit}",
        )
    out: dict[str, str] = {}
    for name, value in pairs:
        if name in out:
            raise AwsError(
                "InvalidTag",
                "Cannot provide multiple Tags with the same key",
                fields={"TagKey": name},
            )
        if not name or len(name) > _TAG_KEY_MAX or not _TAG.match(name):
            raise AwsError(
                "InvalidTag", "The TagKey you have provided is invalid", fields={"TagKey": name}
            )
        if len(value) > _TAG_VALUE_MAX or not _TAG.match(value):
            raise AwsError(
                "InvalidTag",
                "The TagValue you have provided is invalid",
                fields={"TagKey": name, "TagValue": value},
            )
        if name.lower().startswith("aws:"):
            raise AwsError(
                "InvalidTag",
                "Your TagKey cannot be prefixed with aws:"
                if limit == _TAGS_MAX
                else "System tags cannot be added/updated by requester",
                fields={"TagKey": name},
            )
        out[name] = value
    return out
