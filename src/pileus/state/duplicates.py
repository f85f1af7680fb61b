"""Requests already answered: a repeat gets the first verdict again.

The window is a function of the log alone (entries, the time they carry, the bytes of their
verdicts), so every replica remembers exactly the same requests. It forgets in buckets of 1,024
sequence numbers, oldest first. Not a table: a random index insert and delete per entry cost more
than the whole rest of a small entry; this is rebuilt at start from the journal's tail.
"""

from __future__ import annotations

from collections import deque
from zlib import crc32

WINDOW_ENTRIES = 100_000
WINDOW_MS = 600_000
WINDOW_BYTES = 64 * 1024 * 1024
BUCKET = 1024
KEPT_OVERHEAD_BYTES = 200


def request_key(request_id: bytes, rule: str) -> bytes:
    """What is remembered: one call may submit several rules under one request id."""
    return request_id + crc32(rule.encode()).to_bytes(4, "big")


class _Bucket:
    __slots__ = ("keys", "last_ms", "number", "size")

    def __init__(self, number: int) -> None:
        self.number = number
        self.last_ms = 0
        self.size = 0
        self.keys: list[bytes] = []


class Duplicates:
    """Verdicts by request, bounded."""

    def __init__(self) -> None:
        self._verdicts: dict[bytes, bytes] = {}
        self._buckets: deque[_Bucket] = deque()
        self._size = 0

    def get(self, key: bytes) -> bytes | None:
        return self._verdicts.get(key)

    def __len__(self) -> int:
        return len(self._verdicts)

    def add(self, key: bytes, verdict: bytes, sequence: int, log_ms: int) -> None:
        """Remember; ``log_ms`` is the greatest time any entry has carried so far."""
        self.forget(sequence, log_ms)
        number = sequence // BUCKET
        if not self._buckets or self._buckets[-1].number != number:
            self._buckets.append(_Bucket(number))
        bucket = self._buckets[-1]
        self._verdicts[key] = verdict
        bucket.keys.append(key)
        bucket.last_ms = log_ms
        cost = len(verdict) + KEPT_OVERHEAD_BYTES
        bucket.size += cost
        self._size += cost
        while self._size > WINDOW_BYTES and len(self._buckets) > 1:
            self._drop()

    def forget(self, sequence: int, log_ms: int) -> None:
        """Drop what lies outside the window that ends at ``sequence``. Called for every entry
        before its look-up: when a request is forgotten must not depend on how entries were
        grouped, nor on a restart in between."""
        buckets = self._buckets
        while buckets and (
            buckets[0].last_ms < log_ms - WINDOW_MS
            or (buckets[0].number + 1) * BUCKET <= sequence - WINDOW_ENTRIES
        ):
            self._drop()

    def _drop(self) -> None:
        old = self._buckets.popleft()
        self._size -= old.size
        for key in old.keys:
            del self._verdicts[key]


def window_start(sequence: int) -> int:
    """The first sequence number whose verdict may still be remembered at ``sequence``."""
    return max(0, sequence - WINDOW_ENTRIES - BUCKET)
