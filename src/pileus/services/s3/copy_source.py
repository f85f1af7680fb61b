"""The x-amz-copy-source header: ``bucket/key``, URL-encoded, perhaps with ``?versionId=``."""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

from pileus.services.s3 import faults


def parse_source(told: Any) -> tuple[str, str, str | None]:
    """(bucket, key, version id or None)."""
    if isinstance(told, dict):
        return told["Bucket"], told["Key"], told.get("VersionId")
    path, _, query = str(told).partition("?versionId=")
    name, _, key = unquote(path.removeprefix("/")).partition("/")
    if not name or not key:
        raise faults.invalid_argument(
            "Invalid copy source object key", "x-amz-copy-source", "x-amz-copy-source"
        )
    return name, key, query or None
