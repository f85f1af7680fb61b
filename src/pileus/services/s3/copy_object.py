"""CopyObject and UploadPartCopy.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CopyObject.html
A blob is shared, never copied; what lies in parts is read once and becomes one blob. The entry
names the source rows: apply refuses (and we read again) when one has changed or gone.
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import (
    acl,
    archive,
    checksums,
    customer_keys,
    encryption,
    faults,
    object_lock,
    reading,
    rows,
    storage_classes,
)
from pileus.services.s3.conditions import check_source
from pileus.services.s3.copy_source import parse_source
from pileus.services.s3.encryption import Sealer, Secrets
from pileus.services.s3.headers import kept, moment, tags_of
from pileus.services.s3.ingest import OBJECT_BYTES_MAX, Body, drain
from pileus.services.s3.lifecycle import expiration
from pileus.services.s3.multipart import checksum_of, given, part_number, upload_of
from pileus.services.s3.names import check_key
from pileus.services.s3.put_object import commit, write_conditions
from pileus.services.s3.room import Bucket, Room, again
from pileus.services.s3.rows import Meta, Part

_RANGE = re.compile(r"bytes=(\d+)-(\d+)\Z")


class Source:
    """The version a copy reads: its row (and the row's version), its description, its bytes."""

    def __init__(self, room: Room, call: Call) -> None:
        self.name, self.key, self.version = parse_source(call.params["CopySource"])
        self.row, self.value, self.meta = room.find(self.name, self.key, self.version)
        if self.meta.marker:
            raise faults.invalid_request(
                "The source of a copy request may not specifically refer to a delete marker by"
                " version id."
            )
        found = room.store.row(self.row)
        self.guard = [[self.row, found.version]] if found is not None else [[self.row, -1]]
        headers = call.request.headers if call.request is not None else {}
        check_source(headers, self.meta, room.clock.now_ms())
        if not archive.readable(self.meta, room.clock.now_ms()):
            raise AwsError(
                "ObjectNotInActiveTierError",
                "The source object of the COPY action is not in the active tier and is only stored"
                " in Amazon S3 Glacier.",
                403,
            )
        self.version_id = self.meta.version or None  # of the null version AWS tells none

    async def unlock(self, room: Room, call: Call) -> Secrets:
        """What opens the source: the caller's own key, or one it may use."""
        headers = call.request.headers if call.request is not None else given(call.params)
        seal = self.meta.seal
        customer = encryption.check_key(call, seal, headers, customer_keys.OF_SOURCE)
        return await encryption.unlock(room, call, room.bucket(self.name), seal, customer)


async def copy_object(room: Room, call: Call) -> dict[str, Any]:
    return dict(await again(lambda: _copy(room, call)))


async def _copy(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name, key = params["Bucket"], check_key(params["Key"])
    source = Source(room, call)
    if source.meta.size > OBJECT_BYTES_MAX:
        raise faults.invalid_request(
            "The specified copy source is larger than the maximum allowable size for a copy source:"
            f" {OBJECT_BYTES_MAX}"
        )
    headers = call.request.headers if call.request is not None else given(params)
    conditions = write_conditions(headers)
    bucket = room.bucket(name)
    meta = _described(source, params, headers)
    _refuse_noop(source, bucket, key, params, headers)
    meta.owner, meta.grants = acl.of_write(headers, bucket, call.account)
    meta.lock = object_lock.of_headers(headers, bucket, room.clock.now_ms())
    meta.modified_ms = room.clock.now_ms()
    secrets = await source.unlock(room, call)
    sealer = await encryption.for_write(room, call, bucket, key, headers)
    body = await _bytes(room, source, params.get("ChecksumAlgorithm") or "", secrets, sealer)
    meta.etag, meta.size, meta.blob = body.etag, body.size, body.blob
    meta.checks, meta.seal = body.checks or {}, body.seal
    version = await commit(room, call, name, key, meta, body, conditions, source.guard)
    result = {
        "ETag": f'"{meta.etag}"',
        "LastModified": moment(meta.modified_ms),
        **checksums.members(meta.checks),
        **({"ChecksumType": "FULL_OBJECT"} if meta.checks else {}),
    }
    return {
        "CopyObjectResult": result,
        "VersionId": version or ("null" if bucket.versioning else None),
        "CopySourceVersionId": source.version_id,
        "Expiration": expiration(bucket, key, meta),
        **encryption.members(meta.seal, headers),
    }


def _described(source: Source, params: dict[str, Any], headers: dict[str, str]) -> Meta:
    """Headers and tags: the source's, or the request's where a directive says REPLACE."""
    directive = _directive(params, "MetadataDirective", "metadata")
    wanted = kept(headers)
    if directive == "COPY":
        redirect = wanted.get("x-amz-website-redirect-location")
        name = storage_classes.of(Meta("", 0, 0, wanted))
        wanted = dict(source.meta.headers)
        storage_classes.put_into(wanted, name)
        wanted.pop("x-amz-website-redirect-location", None)
        if redirect:
            wanted["x-amz-website-redirect-location"] = redirect
    tags = dict(source.meta.tags)
    if _directive(params, "TaggingDirective", "tagging") == "REPLACE":
        tags = tags_of(params.get("Tagging"))
    return Meta("", 0, 0, wanted, tags=tags)


def _directive(params: dict[str, Any], name: str, wire: str) -> str:
    told = params.get(name) or "COPY"
    if told not in ("COPY", "REPLACE"):
        raise faults.invalid_argument(f"Unknown {wire} directive.", f"x-amz-{wire}-directive", told)
    return str(told)


def _refuse_noop(
    source: Source, bucket: Bucket, key: str, params: dict[str, Any], headers: dict[str, str]
) -> None:
    """Copying an object onto itself must change something. Observed: it may where the bucket's
    encryption was set, whatever it is, and where the copy will be encrypted another way."""
    if (source.name, source.key) != (bucket.name, key) or source.version is not None:
        return
    seal = source.meta.seal
    changes = (
        params.get("MetadataDirective") == "REPLACE"
        or params.get("TaggingDirective") == "REPLACE"
        or "x-amz-storage-class" in headers
        or "x-amz-website-redirect-location" in headers
        or encryption.METHOD in headers
        or customer_keys.told(headers)
        or "encryption" in bucket.settings
        or (seal is not None and seal.kind != encryption.default_of(bucket).kind)
    )
    if not changes:
        raise faults.invalid_request(
            "This copy request is illegal because it is trying to copy an object to itself without"
            " changing the object's metadata, storage class, website redirect location or"
            " encryption attributes."
        )


async def _bytes(
    room: Room, source: Source, algorithm: str, secrets: Secrets, sealer: Sealer
) -> Body:
    """The source's bytes as a new version's body: shared where they lie in one place and are
    encrypted alike."""
    meta = source.meta
    algorithm = checksums.check_algorithm(algorithm) if algorithm else ""
    algorithm = algorithm or next(iter(meta.checks), checksums.DEFAULT)
    if not meta.upload and encryption.shares(meta.seal, sealer):
        checks = await _checks(room, source, algorithm, secrets)
        inline = b"" if meta.blob else source.value[4 + int.from_bytes(source.value[:4], "big") :]
        return Body(meta.size, meta.etag, inline, meta.blob, checks, meta.seal)
    told = reading.chunks(room, meta, source.value, 0, meta.size, secrets)
    return await drain(room, told, {}, (algorithm,), sealer)


async def _checks(room: Room, source: Source, algorithm: str, secrets: Secrets) -> dict[str, str]:
    """The checksum of a source whose blob is shared: its own, else its bytes are read for it."""
    meta = source.meta
    if not algorithm or algorithm in meta.checks:
        return {a: meta.checks[a] for a in (algorithm,) if a}
    digest = checksums.new(algorithm)
    async for chunk in reading.chunks(room, meta, source.value, 0, meta.size, secrets):
        await asyncio.to_thread(digest.update, chunk)
    return {algorithm: checksums.encoded(digest.digest())}


async def upload_part_copy(room: Room, call: Call) -> dict[str, Any]:
    return dict(await again(lambda: _copy_part(room, call)))


async def _copy_part(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    name, key, upload_id = params["Bucket"], params["Key"], params["UploadId"]
    number = part_number(params["PartNumber"])
    record = upload_of(room, name, key, upload_id)
    source = Source(room, call)
    start, length = _span(params.get("CopySourceRange"), source.meta.size)
    meta = source.meta
    whole = rows.unpack_meta(record["meta"])
    wanted = checksum_of(record["algorithm"], whole)
    headers = call.request.headers if call.request is not None else given(params)
    secrets = await source.unlock(room, call)
    sealer = await encryption.for_part(room, call, room.bucket(name), whole, headers)
    if meta.blob and length == meta.size and encryption.shares(meta.seal, sealer):
        checks = await _checks(room, source, wanted, secrets)
        body = Body(meta.size, meta.etag, b"", meta.blob, checks, meta.seal)
    else:
        chunks = reading.chunks(room, meta, source.value, start, length, secrets)
        told = checksums.kept_of(wanted, "")
        body = await drain(room, chunks, {}, told, sealer, inline=False)
    now_ms = room.clock.now_ms()
    part = Part(body.etag, body.size, now_ms, body.blob, body.checks or {}, body.seal)
    args = [name, key, upload_id, number, rows.pack_part(part), source.guard]
    await room.submit("s3.put_part", args, call)
    result = {
        "ETag": f'"{part.etag}"',
        "LastModified": moment(part.modified_ms),
        **(checksums.members(part.checks) if record["algorithm"] else {}),
    }
    return {
        "CopyPartResult": result,
        "CopySourceVersionId": source.version_id,
        **encryption.members(whole.seal, headers),
    }


def _span(told: str | None, size: int) -> tuple[int, int]:
    if told is None:
        return 0, size
    found = _RANGE.match(told)
    if found is None or int(found[1]) > int(found[2]):
        raise faults.invalid_argument(
            "The x-amz-copy-source-range value must be of the form bytes=first-last where first and"
            " last are the zero-based offsets of the first and last bytes to copy",
            "x-amz-copy-source-range",
            told,
        )
    first, last = int(found[1]), int(found[2])
    if first >= size:
        raise faults.invalid_request(
            "The specified copy range is invalid for the source object size"
        )
    if last >= size:
        raise faults.invalid_argument(
            f"Range specified is not valid for source object of size: {size}",
            "x-amz-copy-source-range",
            told,
        )
    return first, last - first + 1
