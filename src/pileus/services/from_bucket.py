"""Objects that an operation reads with its caller's own permission: code, templates."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Dispatch
from pileus.services.inside import body_of


def wanted(source: Mapping[str, Any]) -> dict[str, str]:
    """What is asked of S3 for code at ``S3Bucket``, ``S3Key`` and perhaps ``S3ObjectVersion``."""
    params = {"Bucket": source["S3Bucket"], "Key": source["S3Key"]}
    version = source.get("S3ObjectVersion")
    return params | {"VersionId": version} if version else params


async def opened(dispatch: Dispatch, call: Call, params: dict[str, str]) -> AsyncIterator[bytes]:
    """The object, a piece at a time; S3's own ``AwsError``."""
    answer = await dispatch("s3", "GetObject", params, principal=call.principal, region=call.region)
    body, _ = await body_of(answer["Body"], -1)
    return _one(body) if isinstance(body, bytes) else body


async def _one(body: bytes) -> AsyncIterator[bytes]:
    yield body


async def kept(
    blobs: Any, pieces: AsyncIterator[bytes], size_max: int, refusal: AwsError
) -> tuple[str, int]:
    """Its bytes as a blob: (digest, size); ``refusal`` where there are too many."""
    writer = blobs.create()
    try:
        async for piece in pieces:
            await writer.write(bytes(piece))
            if writer.size > size_max:
                raise refusal
    except BaseException:
        await writer.abort()
        raise
    return await writer.commit(), writer.size
