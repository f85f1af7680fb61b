"""Bodies that come compressed (RFC 1950, RFC 1952)."""

from __future__ import annotations

import gzip
import zlib

import pytest

from pileus.errors import AwsError
from pileus.services.call import HttpRequest
from pileus.wire.payload import expand

TEXT = b'{"TableName": "tab"}'


def expanded(body: bytes, coding: str, bytes_max: int = 1000) -> HttpRequest:
    request = HttpRequest("POST", "/", "", {"content-encoding": coding}, body)
    expand(request, bytes_max)
    return request


def packed(data: bytes) -> bytes:
    """The same at any time: what two workers collect is named by it."""
    return gzip.compress(data, mtime=0)


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (packed(TEXT), "gzip"),
        (packed(TEXT[:5]) + packed(b"") + packed(TEXT[5:]), "GZIP"),
        (packed(TEXT) + b"what follows", "gzip"),
        (zlib.compress(TEXT), "deflate"),
    ],
)
def test_they_are_unpacked(body: bytes, coding: str) -> None:
    request = expanded(body, coding)
    assert request.body == TEXT
    assert request.headers == {}


@pytest.mark.parametrize(
    ("body", "coding", "code"),
    [
        (TEXT, "gzip", "SerializationException"),
        (TEXT, "deflate", "SerializationException"),
        (b"", "gzip", "SerializationException"),
        (packed(TEXT)[:-1], "gzip", "SerializationException"),
        (packed(TEXT) + packed(TEXT)[:-1], "gzip", "SerializationException"),
        (packed(b" " * 600) * 2, "gzip", "RequestEntityTooLargeException"),
        (packed(b" ") * 65, "gzip", "SerializationException"),  # too many to look at
        (zlib.compress(b" " * 1001), "deflate", "RequestEntityTooLargeException"),
    ],
)
def test_what_is_broken_or_too_large_is_refused(body: bytes, coding: str, code: str) -> None:
    with pytest.raises(AwsError) as refused:
        expanded(body, coding)
    assert refused.value.code == code
