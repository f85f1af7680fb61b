"""Answers packed for who takes them so: DynamoDB's of 4 KB and more, in gzip or deflate.

Other services here answer as they are. The checksum DynamoDB sends along is of what is sent
(https://pkg.go.dev/github.com/aws/aws-sdk-go-v2/service/dynamodb/internal/customizations).
"""

from __future__ import annotations

import asyncio
import zlib

from pileus.services.call import HttpRequest, HttpResponse

PACKED_BYTES_MIN = 4096
AWAY_BYTES_MIN = 128 * 1024  # from here on a thread packs
LEVEL = 4
TARGETS = ("DynamoDB_", "DynamoDBStreams_")
_WINDOW = {"gzip": 31, "deflate": 15}  # zlib's names for the formats of RFC 1952 and RFC 1950


def wish(request: HttpRequest) -> str:
    """How its answer is to be packed: ``gzip``, ``deflate``, or "" for not at all."""
    accepted = request.headers.get("accept-encoding", "identity")
    if accepted == "identity" or not request.headers.get("x-amz-target", "").startswith(TARGETS):
        return ""
    return chosen(accepted)


def chosen(accepted: str) -> str:
    """Of an ``Accept-Encoding`` (RFC 9110, 12.5.3) the format with the highest quality, the one
    named first among equals. As DynamoDB reads it: ``identity`` is no wish, what is no number and
    what is above 1 counts as 1."""
    told: dict[str, float] = {}
    for element in accepted.split(","):
        name, _, parameters = element.partition(";")
        name = name.strip().lower()
        told[name] = max(told.get(name, 0.0), _quality(parameters))
    rest = told.get("*", 0.0)
    offers = [(told[name], name) for name in told if name in _WINDOW]
    offers += [(rest, name) for name in _WINDOW if name not in told]
    quality, name = max(offers, key=lambda offer: offer[0])
    return name if quality > 0 else ""


def _quality(parameters: str) -> float:
    _, named, value = parameters.lower().partition("q=")
    try:
        return min(1.0, float(value.partition(";")[0])) if named else 1.0
    except ValueError:
        return 1.0


async def pack(answer: HttpResponse, coding: str) -> HttpResponse:
    """The answer, packed if it is long enough."""
    body = answer.body
    if not isinstance(body, bytes) or len(body) < PACKED_BYTES_MIN:
        return answer
    away = len(body) >= AWAY_BYTES_MIN
    packed = await asyncio.to_thread(_pack, body, coding) if away else _pack(body, coding)
    lines = [line.partition(": ") for line in answer.ready.decode("latin-1").splitlines()]
    told = [(name, value) for name, _, value in lines] + list(answer.headers)
    kept = [header for header in told if header[0].lower() != "x-amz-crc32"]
    sums = [("content-encoding", coding), ("x-amz-crc32", str(zlib.crc32(packed)))]
    return HttpResponse(answer.status, [*kept, *sums], packed)


def _pack(body: bytes, coding: str) -> bytes:
    packer = zlib.compressobj(LEVEL, wbits=_WINDOW[coding])
    return packer.compress(body) + packer.flush()
