"""The x-amz-copy-source header: ``bucket/key``, URL-encoded, perhaps with ``?versionId=``."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import unquote_plus

from pileus.errors import AwsError
from pileus.services.s3 import faults

_BROKEN = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SERVICE = re.compile(r"\Ahttps?://[^/]+/")  # a whole address, which AWS takes, too (recorded)
_ADDRESS = re.compile(r"\d+(\.\d+){3}")
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")  # those of before 2018 were freer than today's


def parse_source(told: Any) -> tuple[str, str, str | None]:
    """(bucket, key, version id or None)."""
    if isinstance(told, dict):
        return told["Bucket"], told["Key"], told.get("VersionId")
    path, _, query = str(told).partition("?versionId=")
    path = _SERVICE.sub("", path, count=1)
    if _BROKEN.search(path):
        raise _invalid("encoding", str(told))
    # "+" is a blank here (recorded of AWS): some clients encode it as forms do.
    name, _, key = unquote_plus(path.removeprefix("/")).partition("/")
    if not name or not key:
        raise _invalid("object key", "x-amz-copy-source")
    if not _BUCKET.fullmatch(name) or _ADDRESS.fullmatch(name):
        raise _invalid("bucket name", str(told))
    return name, key, query or None


def _invalid(what: str, told: str) -> AwsError:
    return faults.invalid_argument(f"Invalid copy source {what}", "x-amz-copy-source", told)
