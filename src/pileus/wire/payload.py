"""Is the body the one that was signed? (S3, "Authenticating requests: payload options")

``check_payload`` verifies a buffered body at once and puts a checking stream before a long one;
aws-chunked bodies are unwrapped.
"""

from __future__ import annotations

import hmac
import zlib
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import BodyStream, HttpRequest
from pileus.wire.canonical import SigningKey
from pileus.wire.chunked import ChunkDecoder, Chunked

UNSIGNED = "UNSIGNED-PAYLOAD"
_SIGNED_CHUNKS = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
_SIGNED_TRAILER = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER"
_UNSIGNED_TRAILER = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_STREAMING = frozenset({_SIGNED_CHUNKS, _SIGNED_TRAILER, _UNSIGNED_TRAILER})

_WINDOW_BITS = {"gzip": 31, "deflate": 15}
_GZIP_MARK = b"\x1f\x8b"
_MEMBERS_MAX = 64  # of one body: each copies what is left of it


def mismatch(told: str, found: str) -> AwsError:
    return AwsError(
        "XAmzContentSHA256Mismatch",
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
        400,
        fields={"ClientComputedContentSHA256": told, "S3ComputedContentSHA256": found},
    )


def check_form(value: str) -> None:
    """Can x-amz-content-sha256 be what it must be? ``AwsError`` where it cannot."""
    if len(value) == 64 or value == UNSIGNED or value in _STREAMING:
        return
    if value.startswith("STREAMING-"):
        raise AwsError(
            "NotImplemented",
            f"{value[:64]} is not offered by Pileus; use {_SIGNED_CHUNKS}.",
            501,
        )
    raise AwsError(
        "InvalidArgument",
        "x-amz-content-sha256 must be UNSIGNED-PAYLOAD,"
        " STREAMING-UNSIGNED-PAYLOAD-TRAILER, STREAMING-AWS4-HMAC-SHA256-PAYLOAD,"
        " STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.",
        fields={"ArgumentName": "x-amz-content-sha256", "ArgumentValue": value[:256]},
    )


def check_payload(
    request: HttpRequest,
    told: str | None,
    signature: str,
    key: SigningKey | None,
    date: str,
    scope: str,
) -> None:
    """Check or wrap the body. ``told`` is x-amz-content-sha256 (None: take the header's word
    without checking signatures, for anonymous and dev callers)."""
    value = told if told is not None else request.headers.get("x-amz-content-sha256", "")
    if value == UNSIGNED or value == "":
        return
    check_form(value)
    if value.startswith("STREAMING-"):
        _unwrap(request, value, signature, key, date, scope)
        return
    if request.stream is not None:
        request.stream = HashedStream(request.stream, value)
        return
    found = sha256(request.body).hexdigest()
    if not hmac.compare_digest(found.encode(), value.encode("latin-1", "replace")):
        raise mismatch(value, found)


def _unwrap(
    request: HttpRequest, value: str, signature: str, key: SigningKey | None, date: str, scope: str
) -> None:
    length = request.headers.get("x-amz-decoded-content-length", "")
    if not length.isascii() or not length.isdigit() or len(length) > 15:
        raise AwsError(
            "MissingContentLength", "You must provide the Content-Length HTTP header.", 411
        )
    signed = value != _UNSIGNED_TRAILER
    decoder = ChunkDecoder(
        int(length),
        signer=Chunked(key, date, scope, signature) if signed and key else None,
        marked=value != _UNSIGNED_TRAILER,
        trailer=request.headers.get("x-amz-trailer", "").strip().lower()
        if value != _SIGNED_CHUNKS
        else "",
        signed_trailer=value == _SIGNED_TRAILER,
    )
    _strip_coding(request)
    request.headers["content-length"] = length
    if request.stream is not None:
        request.stream = UnwrappedStream(request.stream, decoder, request)
        return
    data = decoder.feed(request.body)
    decoder.finish()
    request.body = b"".join(data)
    request.headers.update(decoder.trailers)


def expand(request: HttpRequest, bytes_max: int) -> None:
    """Unpack a body that was sent compressed: gzip (the SDKs' request compression), perhaps in
    several members (RFC 1952), or deflate (RFC 1950). ``AwsError`` when it is none, or would be
    larger than ``bytes_max``. As on AWS, what follows the last member is passed over."""
    coding = request.headers["content-encoding"].strip().lower()
    if coding not in _WINDOW_BITS:
        return
    body, rest = b"", request.body
    for _ in range(_MEMBERS_MAX):
        inflater = zlib.decompressobj(wbits=_WINDOW_BITS[coding])
        try:
            body += inflater.decompress(rest, bytes_max + 1 - len(body))
        except zlib.error:
            raise AwsError("SerializationException", "") from None
        if len(body) > bytes_max:
            raise AwsError("RequestEntityTooLargeException", "Request body is too large", 413)
        if not inflater.eof:
            raise AwsError("SerializationException", "")
        rest = inflater.unused_data
        if coding != "gzip" or rest[:2] != _GZIP_MARK:
            break
    else:
        raise AwsError("SerializationException", "")
    request.body = body
    del request.headers["content-encoding"]


def _strip_coding(request: HttpRequest) -> None:
    """``aws-chunked`` is a transfer matter: the stored Content-Encoding must not name it."""
    coding = request.headers.get("content-encoding")
    if coding is None:
        return
    left = [c.strip() for c in coding.split(",") if c.strip().lower() != "aws-chunked"]
    if left:
        request.headers["content-encoding"] = ",".join(left)
    else:
        del request.headers["content-encoding"]


class HashedStream:
    """A body whose SHA-256 is compared after its last byte."""

    def __init__(self, inner: BodyStream, told: str) -> None:
        self.length = inner.length
        self._inner = inner
        self._told = told

    async def __aiter__(self) -> AsyncIterator[bytes]:
        digest = sha256()
        async for chunk in self._inner:
            digest.update(chunk)
            yield chunk
        self._check(digest.hexdigest())

    def unchecked(self) -> tuple[BodyStream, str, Callable[[str], None]]:
        """See ``SignedStream``."""
        return self._inner, self._told, self._check

    def _check(self, found: str) -> None:
        if found != self._told:
            raise mismatch(self._told, found)


class UnwrappedStream:
    """An aws-chunked body, decoded and checked as it comes; its trailers join the request's
    headers at the end."""

    def __init__(self, inner: BodyStream, decoder: ChunkDecoder, request: HttpRequest) -> None:
        self.length = decoder.length
        self._inner: Any = inner
        self._decoder = decoder
        self._request = request

    async def __aiter__(self) -> AsyncIterator[bytes]:
        decoder = self._decoder
        async for data in self._inner:
            for piece in decoder.feed(data):
                yield piece
        decoder.finish()
        self._request.headers.update(decoder.trailers)
