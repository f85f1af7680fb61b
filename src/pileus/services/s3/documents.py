"""Documents that requests bring (a bucket's settings, tags, lists of keys): are they what was sent?

S3 API reference, "Common request headers" (Content-MD5), and the operations' own x-amz-checksum-…
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.services.call import Call
from pileus.services.s3.checksums import Digest, algorithm_of, verify
from pileus.services.s3.ingest import DIGEST_HEADERS
from pileus.services.s3.room import Room

# Their x-amz-checksum- headers tell of the object that is made, not of the document.
OF_OBJECTS = frozenset(
    {
        *("CompleteMultipartUpload", "CreateMultipartUpload", "PostObject"),
        *("CopyObject", "UploadPartCopy", "PreflightRequest"),
    }
)


def checked(operation: str, function: Callable[[Room, Call], Any]) -> Callable[[Room, Call], Any]:
    """``function``, of requests whose document is as its digests say; else ``BadDigest``,
    ``InvalidDigest`` or ``InvalidRequest``."""
    if operation in OF_OBJECTS:
        return function

    def only_as_told(room: Room, call: Call) -> Any:
        if call.request is not None and not DIGEST_HEADERS.isdisjoint(call.request.headers):
            _check(call.request.headers, call.request.body)
        return function(room, call)

    return only_as_told


def _check(headers: dict[str, str], document: bytes) -> None:
    algorithm = algorithm_of(headers)
    digest = Digest(algorithm) if algorithm else Digest()
    digest.update(document)
    verify(headers, digest)
