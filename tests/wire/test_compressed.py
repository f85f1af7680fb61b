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


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (gzip.compress(TEXT), "gzip"),
        (gzip.compress(TEXT[:5]) + gzip.compress(b"") + gzip.compress(TEXT[5:]), "GZIP"),
        (gzip.compress(TEXT) + b"what follows", "gzip"),
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
        (gzip.compress(TEXT)[:-1], "gzip", "SerializationException"),
        (gzip.compress(TEXT) + gzip.compress(TEXT)[:-1], "gzip", "SerializationException"),
        (gzip.compress(b" " * 600) * 2, "gzip", "RequestEntityTooLargeException"),
        (gzip.compress(b" ") * 65, "gzip", "SerializationException"),  # too many to look at
        (zlib.compress(b" " * 1001), "deflate", "RequestEntityTooLargeException"),
    ],
)
def test_what_is_broken_or_too_large_is_refused(body: bytes, coding: str, code: str) -> None:
    with pytest.raises(AwsError) as refused:
        expanded(body, coding)
    assert refused.value.code == code
