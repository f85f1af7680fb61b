"""Where an object's bytes lie: one blob, or the blobs of its parts (a completed upload)."""

from __future__ import annotations

from bisect import bisect_right
from typing import NamedTuple

from pileus.services.s3 import faults, rows
from pileus.services.s3.room import Room
from pileus.services.s3.rows import Meta, Part, Seal
from pileus.state import keys


class Piece(NamedTuple):
    """A slice of a blob's plain bytes, of which it has ``size``, sealed as ``seal`` says."""

    blob: str
    offset: int
    length: int
    size: int
    seal: Seal | None


def parts_of(room: Room, upload_id: str) -> list[tuple[int, Part]]:
    """(number, part) of an upload, in order."""
    return [
        (int.from_bytes(keys.split(row.key)[2], "big"), rows.unpack_part(row.value))
        for row in room.store.partition(rows.PARTS, upload_id, 10_000)
    ]


def pieces(room: Room, meta: Meta, start: int, length: int) -> list[Piece]:
    """The slices that hold ``length`` bytes from ``start``."""
    if meta.blob:
        return [Piece(meta.blob, start, length, meta.size, meta.seal)]
    parts = [part for _, part in parts_of(room, meta.upload)]
    starts = [0]
    for part in parts:
        starts.append(starts[-1] + part.size)
    at = bisect_right(starts, start) - 1
    out: list[Piece] = []
    while length > 0:
        offset = start - starts[at]
        take = min(length, parts[at].size - offset)
        if take > 0:
            part = parts[at]
            out.append(Piece(part.blob, offset, take, part.size, part.seal))
        start, length, at = start + take, length - take, at + 1
    return out


def span_of_part(room: Room, meta: Meta, told: str) -> tuple[int, int, dict[str, str]]:
    """(start, length, checksums) of a part by its place (1: the first) in the finished object."""
    if not told.isdigit() or not 1 <= int(told) <= 10_000:
        raise faults.invalid_argument(
            "Part number must be an integer between 1 and 10000, inclusive", "partNumber", told
        )
    number = int(told)
    if number > max(meta.parts, 1):
        error = faults.invalid_range(told, meta.size)
        error.code = "InvalidPartNumber"
        error.message = "The requested partnumber is not satisfiable"
        error.fields = {"PartNumberRequested": number, "ActualPartCount": max(meta.parts, 1)}
        raise error
    if not meta.upload:
        return 0, meta.size, meta.checks
    start = 0
    parts = [part for _, part in parts_of(room, meta.upload)]
    for part in parts[: number - 1]:
        start += part.size
    part = parts[number - 1]
    return start, part.size, part.checks
