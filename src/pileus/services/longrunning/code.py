"""A service's code: a zip from the request or from a bucket, checked, kept as a blob."""

from __future__ import annotations

import asyncio
import base64
import binascii
from typing import Any

from pileus.errors import AwsError
from pileus.runtime.unpack import inspect
from pileus.services import from_bucket
from pileus.services.call import Call, Parts
from pileus.services.longrunning.settings import invalid

ZIP_BYTES_MAX = 50 * 1024 * 1024  # in the request
BUCKET_ZIP_BYTES_MAX = 250 * 1024 * 1024


async def take(parts: Parts, call: Call, source: Any) -> dict[str, Any]:
    """Store the zip that ``source`` gives: ``ZipFile`` (base64) or ``S3Bucket`` and ``S3Key``, read
    as the caller. Answers its digest and size; nobody names the blob until a row does."""
    if not isinstance(source, dict):
        raise invalid("Code has S3Bucket and S3Key, or ZipFile")
    if source.get("ZipFile"):
        data = _decoded(source["ZipFile"])
        digest, size = await parts.blobs.put(data), len(data)
    elif source.get("S3Bucket") and source.get("S3Key"):
        digest, size = await _from_bucket(parts, call, source)
    else:
        raise invalid("Code has S3Bucket and S3Key, or ZipFile")
    try:
        await asyncio.to_thread(inspect, parts.blobs.path(digest))
    except AwsError as e:
        raise invalid(e.message) from e
    return {"digest": digest, "size": size}


def _decoded(told: str | bytes) -> bytes:
    try:
        data = base64.b64decode(told, validate=True) if isinstance(told, str) else told
    except binascii.Error:
        raise invalid("Code.ZipFile is a zip file in base64") from None
    if len(data) > ZIP_BYTES_MAX:
        raise invalid(f"Code.ZipFile is larger than {ZIP_BYTES_MAX} bytes; put it into a bucket")
    return data


async def _from_bucket(parts: Parts, call: Call, source: dict[str, Any]) -> tuple[str, int]:
    params = from_bucket.wanted(source)
    try:
        pieces = await from_bucket.opened(parts.dispatch, call, params)
    except AwsError as e:
        place = f"s3://{params['Bucket']}/{params['Key']}"
        raise AwsError(
            "AccessDeniedException" if e.status == 403 else "InvalidParameterException",
            f"Code cannot be read from {place}: {e.code}: {e.message}",
            403 if e.status == 403 else 400,
        ) from e
    refusal = invalid(f"Code is larger than {BUCKET_ZIP_BYTES_MAX} bytes")
    return await from_bucket.kept(parts.blobs, pieces, BUCKET_ZIP_BYTES_MAX, refusal)
