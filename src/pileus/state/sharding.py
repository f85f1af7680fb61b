"""What ``apply`` checks in one of several shards: every key a rule touches must be owned here, be
served, and not be held by a transaction that is not finished.

What it finds otherwise is the verdict "old epoch": nothing is written, the author routes again.
Tables that lie in no tablet (``owned.py``) are exempt; those that all shards share are written by
transactions of all shards alone.
"""

from __future__ import annotations

from pileus.state import keys, locks, owned
from pileus.state.entry import StaleEpoch
from pileus.state.locks import Locks
from pileus.state.owned import (
    BESIDE,
    FROZEN,
    INFINITE,
    LEAVING,
    LOCAL,
    SERVING,
    SLOTS,
    UNPLACED,
    Owned,
    Range,
)
from pileus.state.tx import Reader, Row, Tx

STRAY = b"\x00stray"  # no tablet begins there
STRAYS = keys.partition_prefix("moves", STRAY)


class Sharding:
    """One shard's ownership and locks, as of the last entry."""

    def __init__(
        self,
        number: int,
        base: int,
        own: Owned,
        held: Locks,
        shared: tuple[bytes, ...] = (),
        adopted: int = 0,
    ) -> None:
        self.number = number
        self.base = base
        self.owned = own
        self.locks = held
        self.shared = shared
        self.adopted = adopted
        self.exempt = (*UNPLACED, *shared)

    def serving(self, key: bytes) -> Range:
        """The owned range that holds ``key``; ``StaleEpoch`` where it is not served here."""
        found = self.owned.find(key)
        if found is None or found.state not in (SERVING, LEAVING):
            raise StaleEpoch
        return found

    def serving_range(self, start: bytes, end: bytes) -> None:
        for found in self.owned.within(start, end):
            if found is None or found.state not in (SERVING, LEAVING):
                raise StaleEpoch


def load(reader: Reader) -> Sharding | None:
    """None where the shard is the only one."""
    number = owned.number(reader)
    if number is None:
        return None
    mine, held = owned.load(reader), locks.load(reader)
    shared, adopted = owned.shared(reader), owned.adopted(reader)
    return Sharding(number, owned.base(reader), mine, held, shared, adopted)


def dirty_key(moving: Range, key: bytes) -> bytes:
    """The row that says ``key`` changed since its range began to leave."""
    return keys.key("moves", moving.start, key)


def stray_key(key: bytes) -> bytes:
    """The row that says: ``key``, of a table that lies beside its writers, was to be deleted and
    is not here. Its tablet came from elsewhere and left it there."""
    return keys.key("moves", STRAY, key)


class ShardTx(Tx):
    """One entry's view of one of several shards. ``sequence`` is what rows get as their version: no
    two entries of any shards have the same. ``versions``: those of rows that get another one.
    ``verdict``: what the entry is answered with instead of its rule's result."""

    verdict = b""

    def __init__(
        self,
        reader: Reader,
        entry: int,
        now_ms: int,
        request_id: bytes,
        sharding: Sharding,
    ) -> None:
        place = (entry + sharding.base) * SLOTS + sharding.number
        super().__init__(reader, place, now_ms, request_id)
        self.sharding = sharding
        self.versions: dict[bytes, int] = {}
        self._entry = entry

    @property
    def entry(self) -> int:
        return self._entry

    def row(self, key: bytes) -> Row | None:
        view = self.sharding
        if not key.startswith(view.exempt):
            view.serving(key)
        view.locks.check_read(key)
        return super().row(key)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        view = self.sharding
        if not start.startswith(view.exempt):
            view.serving_range(start, end)
        view.locks.check_range(start, end)
        return super().range(start, end, limit, reverse)

    def put(self, key: bytes, value: bytes) -> None:
        self._write(key, value)

    def delete(self, key: bytes) -> None:
        self._write(key, None)

    def _write(self, key: bytes, value: bytes | None) -> None:
        view = self.sharding
        if not key.startswith(view.exempt):
            found = view.serving(key)
            view.locks.check_write(key)
            if found.state == LEAVING:
                self.writes[dirty_key(found, key)] = b""
        elif key.startswith(BESIDE):
            if value is None and view.adopted:
                row = super().row(key)
                if row is None or row.version < view.adopted:
                    self.writes[stray_key(key)] = b""
        elif not key.startswith(LOCAL):
            raise StaleEpoch  # all shards share it
        self.writes[key] = value

    def force(self, key: bytes, value: bytes | None) -> None:
        """Write what the entry itself holds the lock of, also where the range is frozen."""
        if not key.startswith(self.sharding.exempt):
            found = self.sharding.owned.find(key)
            assert found is not None, "a range goes only when nothing in it is held"
            if found.state in (LEAVING, FROZEN):
                self.writes[dirty_key(found, key)] = b""
        self.writes[key] = value

    def plain_range(self, start: bytes, end: bytes, limit: int) -> list[Row]:
        """Rows of a range whatever its state: for the moving of tablets."""
        return super().range(start, end or INFINITE, limit)
