"""Conditional reads (RFC 9110, 13; S3 API reference, GetObject "conditional requests")."""

from __future__ import annotations

from collections.abc import Mapping

from pileus.services.s3 import faults
from pileus.services.s3.headers import parse_date
from pileus.services.s3.rows import Meta


def check_read(headers: Mapping[str, str], meta: Meta, prefix: str = "") -> bool:
    """True when the answer is 304; raises ``PreconditionFailed``. ``prefix`` is
    ``x-amz-copy-source-`` for the source of a copy."""
    match = headers.get(prefix + "if-match")
    none_match = headers.get(prefix + "if-none-match")
    since = headers.get(prefix + "if-modified-since")
    unmodified = headers.get(prefix + "if-unmodified-since")
    if match is None and none_match is None and since is None and unmodified is None:
        return False
    modified = meta.modified_ms // 1000
    if match is not None:
        if not _names(match, meta.etag):
            raise faults.precondition_failed("If-Match")
    elif unmodified is not None:
        seconds = parse_date(unmodified)
        if seconds is not None and modified > seconds:
            raise faults.precondition_failed("If-Unmodified-Since")
    if none_match is not None:
        return _names(none_match, meta.etag)
    if since is not None:
        seconds = parse_date(since)
        return seconds is not None and modified <= seconds
    return False


def _names(told: str, etag: str) -> bool:
    """Whether a list of entity tags names ``etag``."""
    for part in told.split(","):
        tag = part.strip().removeprefix("W/").strip('"')
        if tag in ("*", etag):
            return True
    return False
