"""Small objects kept as they are answered: asked for again, one costs a look-up.

An answer is kept with what the store's stamp of the objects' rows told before its row was read, and
with the row's beginning, its description. While the stamp tells the same, no write to any object
has been acknowledged in any process. Where it does not, the row is read again: a body's salt is in
the description and its own, so where that is the same, the bytes are, opened already. Only bodies
that S3's own keys seal are kept; whether the caller may have one is decided before anyone looks
here. Bounded: clients choose what they ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

BYTES_MAX = 8 * 1024 * 1024  # of one process
ENTRY_BYTES = 500  # what one costs beside its bytes
# An object's row; what a row is answered as, and the beginning of it that tells all of it (b"":
# none
# does).
Row = Callable[[bytes], "bytes | None"]
Answered = Callable[[bytes], "tuple[bytes, bytes] | None"]


class KeptObject:
    """``told``: the answer to a row that starts with ``description``, as of ``stamp``."""

    __slots__ = ("description", "stamp", "told")

    def __init__(self, stamp: Any, description: bytes, told: bytes) -> None:
        self.stamp, self.description, self.told = stamp, description, told


class KeptObjects:
    """Those of one process."""

    def __init__(self, row: Row, stamp: Callable[[], Any], bytes_max: int = BYTES_MAX) -> None:
        self._row, self._stamp, self._bytes_max = row, stamp, bytes_max
        self._kept: dict[bytes, KeptObject] = {}  # by way and key
        self._bytes = 0  # kept since all of it was forgotten

    def reading(
        self, way: bytes, prefix: bytes, answered: Answered, plain: Callable[[bytes], Any]
    ) -> Callable[[bytes], bytes | None]:
        """How objects are read: the row of one is named by ``prefix`` and its key. ``way`` names
        all that the answers hang on beside the row, and begins no other way's name; what is not
        ``plain`` is no key."""
        get, stamp, row, keep = self._kept.get, self._stamp, self._row, self._keep

        def read(key: bytes) -> bytes | None:
            now = stamp()  # before the row is read
            name = way + key
            found = get(name)
            if found is None:
                if plain(key) is None:
                    return None
            elif found.stamp == now:
                return found.told
            value = row(b"%b%b\x00\x01" % (prefix, key))
            if value is None:
                return None
            if found is not None and value.startswith(found.description):
                found.stamp = now
                return found.told
            answer = answered(value)
            if answer is None:
                return None
            told, description = answer
            if description:
                keep(name, KeptObject(now, description, told))
            return told

        return read

    def _keep(self, name: bytes, found: KeptObject) -> None:
        size = len(name) + len(found.description) + len(found.told) + ENTRY_BYTES
        self._bytes += size
        if self._bytes > self._bytes_max:
            self._kept.clear()
            self._bytes = size
        self._kept[name] = found
