"""Which format an answer is packed in (RFC 9110, 12.5.3, as DynamoDB reads it)."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from pileus.services.call import HttpResponse
from pileus.wire import packing


@pytest.mark.parametrize(
    ("accepted", "chosen"),
    [
        ("gzip", "gzip"),
        ("deflate", "deflate"),
        ("GZIP, identity", "gzip"),
        ("", ""),
        ("br, zstd", ""),
        ("x-gzip", ""),
        ("gzip br", ""),
        ("gzip, deflate", "gzip"),
        ("br, deflate, gzip", "deflate"),
        ("gzip;q=0.2, deflate;q=0.5", "deflate"),
        ("gzip;q=0", ""),
        ("gzip;q=0, gzip;q=1", "gzip"),
        ("gzip; q=0.0001, identity", "gzip"),
        ("*", "gzip"),
        ("*;q=0", ""),
        ("*, deflate", "deflate"),
        ("*, gzip;q=0.5", "deflate"),
        ("deflate;q=0.5, gzip;q=31", "gzip"),
        ("gzip;q=31, deflate;q=51", "gzip"),
        ("deflate;q=0.5, gzip;q=nothing", "gzip"),
        ("deflate;q=-0.5, gzip;q=0.2", "gzip"),
        (",".join(["gzip;q=0"] * 1000), ""),
    ],
)
def test_the_wish_that_counts(accepted: str, chosen: str) -> None:
    assert packing.chosen(accepted) == chosen


@pytest.mark.parametrize("size", [packing.PACKED_BYTES_MIN, packing.AWAY_BYTES_MIN])
@pytest.mark.parametrize(
    ("coding", "unpack"), [("gzip", gzip.decompress), ("deflate", zlib.decompress)]
)
def test_the_checksum_is_of_what_is_sent(size: int, coding: str, unpack: object) -> None:
    body = bytes(size)
    ready = b"content-type: application/x-amz-json-1.0\r\nx-amz-crc32: 1\r\n"
    answer = asyncio.run(packing.pack(HttpResponse(200, [("a", "b")], body, ready=ready), coding))
    headers = dict(answer.headers)
    assert unpack(answer.body) == body  # type: ignore[operator]
    assert headers["x-amz-crc32"] == str(zlib.crc32(answer.body))  # type: ignore[arg-type]
    assert headers["content-encoding"] == coding and headers["a"] == "b"
    assert headers["content-type"] == "application/x-amz-json-1.0" and not answer.ready


def test_short_answers_stay() -> None:
    answer = HttpResponse(200, [], b"x" * (packing.PACKED_BYTES_MIN - 1))
    assert asyncio.run(packing.pack(answer, "gzip")) is answer
