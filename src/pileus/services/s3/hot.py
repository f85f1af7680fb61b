"""Bodies that are asked for again and again, opened: deciphering them costs more than sending.

A blob never changes, so what is kept under its name stays right; who may have it is decided before
anyone looks here. Only what S3's own keys seal is kept, in memory, within a bound, and from the
second asking on, so that reading everything once pushes nothing out.
"""

from __future__ import annotations

from collections import OrderedDict

BODY_BYTES_MAX = 1024 * 1024
KEPT_BYTES_MAX = 32 * 1024 * 1024
SEEN_MAX = 4096


class HotBodies:
    """One per process; the longest unused go first."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._seen: dict[str, None] = {}

    def get(self, blob: str) -> bytes | None:
        body = self._kept.get(blob)
        if body is not None:
            self._kept.move_to_end(blob)
        return body

    def wanted(self, blob: str, size: int) -> bool:
        """Whether to keep a body that is about to be opened."""
        if size > BODY_BYTES_MAX:
            return False
        if blob in self._seen:
            return True
        if len(self._seen) >= SEEN_MAX:
            self._seen.clear()
        self._seen[blob] = None
        return False

    def keep(self, blob: str, body: bytes) -> None:
        old = self._kept.pop(blob, b"")
        self._kept[blob] = body
        self._bytes += len(body) - len(old)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popitem(last=False)[1])
