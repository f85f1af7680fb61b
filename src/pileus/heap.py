"""What the C library's allocator keeps and gives back (glibc; others are left alone)."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8  # malloc.h
KEPT_BYTES_MAX, MAPPED_BYTES_MIN = 16 * 1024 * 1024, 4 * 1024 * 1024
ARENAS_MAX = 4


def keep_large_blocks() -> None:
    """Have the allocator keep a few megabytes it could give back to the system: else every body
    and every segment of one is mapped anew and faulted in page by page, which costs more than to
    decipher it (``mallopt(3)``)."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for option, value in (
            (M_ARENA_MAX, ARENAS_MAX),
            (M_MMAP_THRESHOLD, MAPPED_BYTES_MIN),
            (M_TRIM_THRESHOLD, KEPT_BYTES_MAX),
        ):
            mallopt(option, value)


def give_back() -> None:
    """Return what a start took and freed to the system (``malloc_trim(3)``)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
