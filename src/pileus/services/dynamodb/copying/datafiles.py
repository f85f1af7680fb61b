"""The files of an export: gzipped lines of items, and the manifests that list them.

Names and members are those of the Developer Guide, "DynamoDB table export output format". Data of a
full export lies in ``AWSDynamoDB/EXPORT ID/data/``, of an incremental one in ``AWSDynamoDB/data/``.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import zlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from pileus.services.dynamodb.copying.bucket import Bucket

FILE_BYTES = 8 * 1024 * 1024
BLOCK_BYTES = 1024 * 1024
GZIP = 31  # zlib's word for a gzip head and tail
FOLDER = "AWSDynamoDB"
VERSIONS = {"FULL_EXPORT": "2020-06-30", "INCREMENTAL_EXPORT": "2023-08-01"}
ENDINGS = {"DYNAMODB_JSON": "json", "ION": "ion"}
SSE = {"AES256": "AES256", "KMS": "aws:kms"}


class DataFiles:
    """Writes lines to data files of some megabytes. ``begin(number)`` is awaited before a file is
    written: whoever takes the work up again then knows how many there may be."""

    def __init__(
        self,
        bucket: Bucket,
        told: dict[str, Any],
        begin: Callable[[int], Awaitable[None]],
    ) -> None:
        self._bucket = bucket
        self._told = told
        self._begin = begin
        self.id = told["ExportArn"].rpartition("/")[2]
        self._files: list[dict[str, Any]] = []
        self.items = 0
        self._open()

    def _open(self) -> None:
        self._gzip = zlib.compressobj(6, zlib.DEFLATED, GZIP)
        self._lines: list[bytes] = []
        self._packed: list[bytes] = []
        self._size = self._waiting = self._count = 0

    async def add(self, lines: list[bytes]) -> None:
        """Lines of items, each with its line break."""
        self._lines += lines
        self._count += len(lines)
        self._waiting += sum(map(len, lines))
        if self._waiting >= BLOCK_BYTES:
            await self._pack()
            if self._size >= FILE_BYTES:
                await self._write()

    async def _pack(self) -> None:
        text, self._lines, self._waiting = b"".join(self._lines), [], 0
        packed = await asyncio.to_thread(self._gzip.compress, text)
        self._packed.append(packed)
        self._size += len(packed)

    async def _write(self) -> None:
        await self._pack()
        data = b"".join([*self._packed, self._gzip.flush()])
        count = self._count
        self._open()
        number = len(self._files)
        await self._begin(number)
        key = self._key(number)
        tag = await self._put(key, data)
        self.items += count
        self._files.append(
            {
                "itemCount": count,
                "md5Checksum": _md5(data),
                "etag": tag,
                "dataFileS3Key": key,
            }
        )

    async def close(self, begun: int) -> str:
        """Write what is left and the manifests; answers the summary's key. ``begun``: how many data
        files an earlier run may have left; those not written again are emptied."""
        if self._count or not self._files:
            await self._write()
        while len(self._files) < begun:
            await self._write()
        folder = f"{self._prefix}{FOLDER}/{self.id}/"
        listing = b"".join(orjson.dumps(f) + b"\n" for f in self._files)
        await self._put(f"{folder}manifest-files.json", listing)
        await self._put(f"{folder}manifest-files.md5", _md5(listing).encode())
        return f"{folder}manifest-summary.json"

    async def summarise(self, key: str, end_ms: int, size: int) -> None:
        """Write the summary, last: with it the export is whole."""
        files = f"{self._prefix}{FOLDER}/{self.id}/manifest-files.json"
        text = orjson.dumps(_summary(self._told, files, end_ms, size, self.items))
        await self._put(key, text)
        await self._put(key.removesuffix("json") + "md5", _md5(text).encode())

    async def start(self) -> None:
        """Show that the bucket can be written to."""
        await self._put(f"{self._prefix}{FOLDER}/{self.id}/_started", b"")

    @property
    def _prefix(self) -> str:
        prefix = self._told.get("S3Prefix", "").strip("/")
        return prefix + "/" if prefix else ""

    def _key(self, number: int) -> str:
        digest = hashlib.sha256(f"{self.id}/{number}".encode()).digest()[:16]
        name = base64.b32encode(digest).decode().rstrip("=").lower()
        own = f"{self.id}/" if self._told["ExportType"] == "FULL_EXPORT" else ""
        ending = ENDINGS[self._told["ExportFormat"]]
        return f"{self._prefix}{FOLDER}/{own}data/{name}.{ending}.gz"

    async def _put(self, key: str, data: bytes) -> str:
        more: dict[str, Any] = {"ServerSideEncryption": SSE[self._told["S3SseAlgorithm"]]}
        if "S3SseKmsKeyId" in self._told:
            more["SSEKMSKeyId"] = self._told["S3SseKmsKeyId"]
        return await self._bucket.put(key, data, **more)


def _md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode()


def moment(seconds: float) -> str:
    """A time as the manifests tell it."""
    at = datetime.fromtimestamp(round(seconds * 1000) / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(
    told: dict[str, Any], files: str, end_ms: int, size: int, items: int
) -> dict[str, Any]:
    kind = told["ExportType"]
    out = {
        "version": VERSIONS[kind],
        "exportArn": told["ExportArn"],
        "startTime": moment(told["StartTime"]),
        "endTime": moment(end_ms / 1000),
        "tableArn": told["TableArn"],
        "tableId": told["TableId"],
    }
    spec = told.get("IncrementalExportSpecification")
    if spec:
        out["exportFromTime"] = moment(spec["ExportFromTime"])
        out["exportToTime"] = moment(spec["ExportToTime"])
    else:
        out["exportTime"] = moment(told["ExportTime"])
    out |= {
        "s3Bucket": told["S3Bucket"],
        "s3Prefix": told.get("S3Prefix"),
        "s3SseAlgorithm": told["S3SseAlgorithm"],
        "s3SseKmsKeyId": told.get("S3SseKmsKeyId"),
        "manifestFilesS3Key": files,
        "billedSizeBytes": size,
        "itemCount": items,
        "outputFormat": told["ExportFormat"],
    }
    if spec:
        out["outputView"] = spec["ExportViewType"]
    return {**out, "exportType": kind}
