"""A file held in the system's memory while something is measured."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path


def read_whole(path: Path) -> None:
    """Bring a file into memory, as far as there is room: a state that has been in use for long
    stands like this, one just started or copied does not."""
    with path.open("rb") as file:
        while file.read(1 << 20):
            pass


@contextlib.contextmanager
def held(path: Path) -> Iterator[None]:
    """Keep the pages a file has now in memory (mlock, man 2 mlock); where that is not allowed, or
    would take half of what is free, say so and go on."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.mmap.restype = ctypes.c_void_p
    size = path.stat().st_size
    if 2 * size > os.sysconf("SC_AVPHYS_PAGES") * mmap.PAGESIZE + size:  # it is in memory by now
        print("  (the state is not held in memory: it is too large)", file=sys.stderr)
        yield
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        at = libc.mmap(
            None, ctypes.c_size_t(size), mmap.PROT_READ, mmap.MAP_SHARED, fd, ctypes.c_long(0)
        )
    finally:
        os.close(fd)
    if at == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), "mmap")
    try:
        if libc.mlock(ctypes.c_void_p(at), ctypes.c_size_t(size)):
            why = os.strerror(ctypes.get_errno())
            print(f"  (the state is not held in memory: {why})", file=sys.stderr)
        yield
    finally:
        libc.munmap(ctypes.c_void_p(at), ctypes.c_size_t(size))
