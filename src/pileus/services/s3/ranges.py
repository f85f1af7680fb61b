"""The Range header (RFC 9110, 14.1.2), as S3 reads it: one range; several are ignored."""

from __future__ import annotations

import re

from pileus.services.s3 import faults

_ONE = re.compile(r"bytes\s*=\s*(\d*)\s*-\s*(\d*)\s*\Z", re.IGNORECASE)


def parse_range(told: str, size: int) -> tuple[int, int] | None:
    """(start, length), None for what is no single byte range (the whole is answered then);
    ``InvalidRange`` when nothing of it lies in the object."""
    found = _ONE.match(told.strip())
    if found is None or found[0] is None or (not found[1] and not found[2]):
        return None
    if not found[1]:
        last = int(found[2])
        if last == 0 or size == 0:
            raise faults.invalid_range(told, size)
        start = max(size - last, 0)
        return start, size - start
    start = int(found[1])
    end = int(found[2]) if found[2] else size - 1
    if found[2] and end < start:
        return None
    if start >= size:
        raise faults.invalid_range(told, size)
    return start, min(end, size - 1) - start + 1
