"""Conditional reads (RFC 9110, 13; S3 API reference, GetObject "conditional requests")."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.services.s3 import faults
from pileus.services.s3.headers import parse_date
from pileus.services.s3.rows import Meta


def check_read(headers: Mapping[str, str], meta: Meta, now_ms: int) -> bool:
    """True when the answer is 304; raises ``PreconditionFailed``."""
    return bool(_failed(headers, meta, now_ms, ""))


def check_source(headers: Mapping[str, str], meta: Meta, now_ms: int) -> None:
    """The same of a copy's source, where every condition that does not hold is an error."""
    name = _failed(headers, meta, now_ms, "x-amz-copy-source-")
    if name:
        raise faults.precondition_failed("x-amz-copy-source-" + name)


def _failed(headers: Mapping[str, str], meta: Meta, now_ms: int, prefix: str) -> str:
    """The condition that says "not modified", "" for none. A time to come is no condition."""
    match = headers.get(prefix + "if-match")
    none_match = headers.get(prefix + "if-none-match")
    since = headers.get(prefix + "if-modified-since")
    unmodified = headers.get(prefix + "if-unmodified-since")
    if match is None and none_match is None and since is None and unmodified is None:
        return ""
    modified = meta.modified_ms // 1000
    if match is not None:
        if not _names(match, meta.etag):
            raise faults.precondition_failed(prefix + "If-Match")
    elif unmodified is not None:
        seconds = parse_date(unmodified)
        if seconds is not None and modified > seconds:
            raise faults.precondition_failed(prefix + "If-Unmodified-Since")
    if none_match is not None:
        return "If-None-Match" if _names(none_match, meta.etag) else ""
    if since is not None:
        seconds = parse_date(since)
        if seconds is not None and modified <= seconds <= now_ms // 1000:
            return "If-Modified-Since"
    return ""


def _names(told: str, etag: str) -> bool:
    """Whether a list of entity tags names ``etag``."""
    for part in told.split(","):
        tag = part.strip().removeprefix("W/").strip('"')
        if tag in ("*", etag):
            return True
    return False
