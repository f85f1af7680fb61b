"""The files of an inventory report: lines of CSV, the manifest, the list for Hive. Pure functions.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import orjson

from pileus.services.s3 import object_lock, storage_classes
from pileus.services.s3.inventory import ARN, FIELDS
from pileus.services.s3.lifecycle import expiry_ms
from pileus.services.s3.names import canonical_id
from pileus.services.s3.room import Bucket
from pileus.services.s3.rows import AES256, CUSTOMER, KMS, Meta

VERSION = "2016-11-30"
_ENCRYPTED = {AES256: "SSE-S3", KMS: "SSE-KMS", CUSTOMER: "SSE-C"}
_OF_MARKERS = ("LastModifiedDate", "ObjectOwner")


def moment(ms: int) -> str:
    """``2016-08-11T00:00:00.000Z``."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(ms // 1000)) + f".{ms % 1000:03d}Z"


def _lock(meta: Meta, name: str) -> str:
    return dict(object_lock.answer_headers(meta)).get(name, "")


def _encryption(meta: Meta) -> str:
    return "NOT-SSE" if meta.seal is None else _ENCRYPTED[meta.seal.kind]


def _bucket_key(meta: Meta) -> str:
    return "ENABLED" if meta.seal is not None and meta.seal.bucket_key else "DISABLED"


def _expiration(bucket: Bucket, key: str, meta: Meta) -> str:
    found = expiry_ms(bucket, key, meta)
    return moment(found) if found is not None else ""


def _tier(meta: Meta) -> str:
    return "FREQUENT" if storage_classes.of(meta) == "INTELLIGENT_TIERING" else ""


_CELLS: Mapping[str, Callable[[Bucket, str, Meta], str]] = {
    "Size": lambda bucket, key, meta: str(meta.size),
    "LastModifiedDate": lambda bucket, key, meta: moment(meta.modified_ms // 1000 * 1000),
    "ETag": lambda bucket, key, meta: meta.etag,
    "StorageClass": lambda bucket, key, meta: storage_classes.of(meta),
    "IsMultipartUploaded": lambda bucket, key, meta: "true" if meta.upload else "false",
    "ReplicationStatus": lambda bucket, key, meta: "",
    "EncryptionStatus": lambda bucket, key, meta: _encryption(meta),
    "ObjectLockRetainUntilDate": lambda bucket, key, meta: _lock(meta, object_lock.UNTIL),
    "ObjectLockMode": lambda bucket, key, meta: _lock(meta, object_lock.MODE),
    "ObjectLockLegalHoldStatus": lambda bucket, key, meta: _lock(meta, object_lock.HOLD),
    "IntelligentTieringAccessTier": lambda bucket, key, meta: _tier(meta),
    "BucketKeyStatus": lambda bucket, key, meta: _bucket_key(meta),
    "ChecksumAlgorithm": lambda bucket, key, meta: ",".join(meta.checks),
    "ObjectOwner": lambda bucket, key, meta: canonical_id(meta.owner or bucket.owner),
    "LifecycleExpirationDate": _expiration,
}


@dataclass(frozen=True)
class Report:
    """One report of a configuration, begun at ``at_ms``."""

    bucket: Bucket
    told: dict[str, Any]
    at_ms: int

    @property
    def whole(self) -> bool:
        """Whether older versions and delete markers are listed too."""
        return bool(self.told["IncludedObjectVersions"] == "All")

    @property
    def columns(self) -> list[str]:
        asked = set(self.told.get("OptionalFields") or [])
        own = ["VersionId", "IsLatest", "IsDeleteMarker"] if self.whole else []
        return ["Bucket", "Key", *own, *(f for f in FIELDS if f in asked)]

    @property
    def target(self) -> str:
        """The bucket it is put into."""
        return str(self._place["Bucket"]).removeprefix(ARN)

    @property
    def _place(self) -> dict[str, Any]:
        return dict(self.told["Destination"]["S3BucketDestination"])

    @property
    def encryption(self) -> dict[str, str]:
        """What the destination asks for, as members of PutObject."""
        asked = self._place.get("Encryption") or {}
        if "SSEKMS" in asked:
            return {
                "ServerSideEncryption": "aws:kms",
                "SSEKMSKeyId": str(asked["SSEKMS"]["KeyId"]),
            }
        return {"ServerSideEncryption": "AES256"} if "SSES3" in asked else {}

    def key(self, name: str) -> str:
        """Where a file of the report goes."""
        prefix = self._place.get("Prefix")
        start = f"{prefix}/" if prefix else ""
        return f"{start}{self.bucket.name}/{self.told['Id']}/{name}"

    def dated(self, name: str) -> str:
        """Where a file of this day's goes."""
        folder = time.strftime("%Y-%m-%dT%H-%MZ", time.gmtime(self.at_ms // 1000))
        return self.key(f"{folder}/{name}")

    def hive(self) -> str:
        """Where the list for Hive goes."""
        day = time.strftime("%Y-%m-%d-%H-%M", time.gmtime(self.at_ms // 1000))
        return self.key(f"hive/dt={day}/symlink.txt")

    def line(self, key: str, meta: Meta, latest: bool) -> str:
        """A version's line; every cell is quoted, the key URL-encoded."""
        cells = [self.bucket.name, quote(key, safe="/")]
        if self.whole:
            cells += [meta.version, str(latest).lower(), str(meta.marker).lower()]
        cells += [self._cell(name, key, meta) for name in self.columns[len(cells) :]]
        return ",".join(f'"{cell}"' for cell in cells) + "\n"

    def _cell(self, name: str, key: str, meta: Meta) -> str:
        if meta.marker and name not in _OF_MARKERS:
            return ""
        return _CELLS[name](self.bucket, key, meta)

    def manifest(self, files: list[dict[str, Any]]) -> bytes:
        """``files``: key, size and MD5checksum of each file of lines."""
        told = {
            "sourceBucket": self.bucket.name,
            "destinationBucket": ARN + self.target,
            "version": VERSION,
            "creationTimestamp": str(self.at_ms),
            "fileFormat": "CSV",
            "fileSchema": ", ".join(self.columns),
            "files": files,
        }
        return orjson.dumps(told, option=orjson.OPT_INDENT_2)


def described(key: str, data: bytes) -> dict[str, Any]:
    """A file of lines as the manifest names it."""
    return {"key": key, "size": len(data), "MD5checksum": hashlib.md5(data).hexdigest()}
