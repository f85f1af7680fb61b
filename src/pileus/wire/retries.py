"""The SDK's retry id (``amz-sdk-invocation-id``), bound to the request it came with.

A repeated write has one effect and one answer, so what is taken for a repeat must be one. The id
alone does not tell: there are clients that send one id with different requests (s3transfer's CRT
gives all parts of an upload the same). So it counts together with the caller, the operation and
what is asked for. An SDK repeats the same bytes; signature and time alone are new.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from pileus.services.call import HttpRequest

# A body of these may be read as a stream or at once, so its signed hash stands for it.
_STREAMED = frozenset({"PutObject", "UploadPart"})
# What an SDK or a presigned address adds to a query.
_BESIDE = ("x-id=", "X-Amz-")


def write_id(told: str, arn: str, operation: str, of: str = "", body: bytes = b"") -> bytes:
    """16 bytes, the same for the same write alone: an operation of a caller, ``of`` something,
    with a ``body``."""
    text = f"{told}\n{arn}\n{operation}\n{of}\n"
    made = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=16)
    if body:
        made.update(body)
    return made.digest()


def object_of(bucket: str, key: str, digest: str, query: str = "") -> str:
    """What a write of an object is of; ``digest``: ``x-amz-content-sha256``."""
    return f"{bucket}\n{key}\n{digest}\n{query}"


def id_of(
    told: str,
    arn: str,
    service: str,
    operation: str,
    request: HttpRequest,
    labels: Mapping[str, str],
) -> bytes:
    """``write_id`` of a request; ``labels``: those of its path."""
    body = b"" if request.stream is not None else request.body
    if service == "s3":
        more = "&".join(p for p in request.query.split("&") if not p.startswith(_BESIDE))
        digest = request.headers.get("x-amz-content-sha256", "")
        of = object_of(labels.get("Bucket", ""), labels.get("Key", ""), digest, more)
        return write_id(told, arn, operation, of, b"" if operation in _STREAMED else body)
    of = f"{request.path}?{request.query}" if labels or request.query else ""
    return write_id(told, arn, operation, of, body)
