"""The condition keys S3 tells of a request (Service Authorization Reference, "Amazon S3")."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from pileus.services.s3 import object_lock
from pileus.services.s3.rows import Meta

_HEADERS = (
    "x-amz-acl",
    "x-amz-storage-class",
    "x-amz-server-side-encryption",
    "x-amz-server-side-encryption-aws-kms-key-id",
    "x-amz-server-side-encryption-customer-algorithm",
    "x-amz-metadata-directive",
    "x-amz-copy-source",
    "x-amz-content-sha256",
    "x-amz-object-ownership",
    "x-amz-bucket-namespace",
    "x-amz-website-redirect-location",
    "x-amz-grant-read",
    "x-amz-grant-write",
    "x-amz-grant-read-acp",
    "x-amz-grant-write-acp",
    "x-amz-grant-full-control",
    "if-match",
    "if-none-match",
)
_LOCK = {  # keys without the x-amz- of their headers
    object_lock.MODE: "s3:object-lock-mode",
    object_lock.UNTIL: "s3:object-lock-retain-until-date",
    object_lock.HOLD: "s3:object-lock-legal-hold",
}


def of_headers(headers: Mapping[str, str]) -> dict[str, Any]:
    """Keys of a request's headers (or a form's fields), the tags it gives among them."""
    told: dict[str, Any] = {f"s3:{h}": headers[h] for h in _HEADERS if h in headers}
    if "x-amz-tagging" in headers:
        told |= of_new_tags(dict(parse_qsl(headers["x-amz-tagging"], keep_blank_values=True)))
    return told


def of_lock(headers: Mapping[str, str]) -> dict[str, Any]:
    """Keys of a lock a write asks for."""
    return {k: headers[h] for h, k in _LOCK.items() if h in headers}


def of_tags(meta: Meta) -> dict[str, str]:
    """Keys of the tags an object has."""
    return {f"s3:ExistingObjectTag/{k}": v for k, v in meta.tags.items()}


def of_new_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """Keys of the tags a request gives an object."""
    return {
        **{f"s3:RequestObjectTag/{k}": v for k, v in tags.items()},
        "s3:RequestObjectTagKeys": list(tags),
    }
