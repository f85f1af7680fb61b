"""Bodies that are asked for again and again, opened: deciphering them costs more than sending.

A blob never changes, so what is kept under its name stays right; who may have it is decided before
anyone looks here. Only what S3's own keys seal is kept, in memory, within a bound, and from the
second asking on, so that reading everything once pushes nothing out. Large ones lie in files
without a name, in memory too: the system sends those itself, without a copy.
"""

from __future__ import annotations

import os
from collections import OrderedDict

from pileus.services.call import FileBody

BODY_BYTES_MAX = 1024 * 1024
KEPT_BYTES_MAX = 32 * 1024 * 1024
FILE_BYTES_MIN = 256 * 1024 if hasattr(os, "memfd_create") else BODY_BYTES_MAX + 1
SEEN_MAX = 4096


class MemoryFile:
    """A body in a file without a name, gone with the last who holds it."""

    def __init__(self, body: bytes) -> None:
        self._fd = os.memfd_create("body", os.MFD_CLOEXEC)
        self._size = len(body)
        view = memoryview(body)
        while view:
            view = view[os.write(self._fd, view) :]

    def __len__(self) -> int:
        return self._size

    def __del__(self) -> None:
        os.close(self._fd)

    def answer(self) -> FileBody:
        return FileBody(os.dup(self._fd), 0, self._size)


class HotBodies:
    """One per process; the longest unused go first."""

    def __init__(self, bytes_max: int = KEPT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._bytes = 0
        self._kept: OrderedDict[str, bytes | MemoryFile] = OrderedDict()
        self._seen: dict[str, None] = {}

    def get(self, blob: str) -> bytes | FileBody | None:
        """The body, to be answered."""
        body = self._kept.get(blob)
        if body is None:
            return None
        self._kept.move_to_end(blob)
        return body.answer() if type(body) is MemoryFile else body  # type: ignore[return-value]

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
        self._kept[blob] = MemoryFile(body) if len(body) >= FILE_BYTES_MIN else bytes(body)
        self._bytes += len(body) - len(old)
        while self._bytes > self._bytes_max:
            self._bytes -= len(self._kept.popitem(last=False)[1])
