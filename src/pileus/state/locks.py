"""What the transactions prepared in a shard hold: nobody may change what they read or write, nor
read what they are about to write, until they are finished.

Each is one row, ``txn / held / id``; this is their index in memory, kept by ``apply``.
"""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from pileus.state import keys
from pileus.state.entry import StaleEpoch
from pileus.state.tx import Reader, change_key, ordered_key

PREFIX = b"txn\x00"
HELD = keys.partition_prefix("txn", "held")
DECIDED = keys.partition_prefix("txn", "decided")
HELD_MAX = 1_000_000


class Locked(StaleEpoch):
    """A transaction across shards holds the row: wait for its end, and try again."""


class Held(NamedTuple):
    """One shard's part of a transaction. ``home``: the shard that decides it; ``shards``: all that
    take part. ``reads``: keys; ``ranges``: [start, end]; ``writes``: [key, bytes or None];
    ``changes``: [topic, payload]."""

    home: int
    shards: list[int]
    reads: list[bytes]
    ranges: list[tuple[bytes, bytes]]
    writes: list[tuple[bytes, bytes | None]]
    changes: list[tuple[str, bytes]]
    place: int = 0  # what its writes get as their version; 0: that of the entry that writes them
    ordered: list[tuple[str, bytes, bytes, bytes]] = []  # as ``Tx.put_in_order`` takes them


encode_held = msgspec.msgpack.Encoder().encode
decode_held = msgspec.msgpack.Decoder(Held).decode


def held_key(txn: bytes) -> bytes:
    return keys.key("txn", "held", txn)


def decided_key(txn: bytes) -> bytes:
    """The row of a transaction that is committed and perhaps not finished everywhere."""
    return keys.key("txn", "decided", txn)


class Locks:
    """Who holds which keys and ranges."""

    def __init__(self) -> None:
        self.held: dict[bytes, Held] = {}
        self._writes: dict[bytes, bytes] = {}
        self._reads: dict[bytes, set[bytes]] = {}

    def note(self, writes: dict[bytes, bytes | None]) -> None:
        """An entry wrote these rows: those of prepared transactions are learnt or forgotten."""
        for key, value in writes.items():
            if key.startswith(HELD):
                txn = keys.split(key)[2]
                self._drop(txn)
                if value is not None:
                    self._add(txn, decode_held(value))

    def _add(self, txn: bytes, held: Held) -> None:
        self.held[txn] = held
        for key, _ in held.writes:
            self._writes[key] = txn
        for key in held.reads:
            self._reads.setdefault(key, set()).add(txn)

    def _drop(self, txn: bytes) -> None:
        held = self.held.pop(txn, None)
        if held is None:
            return
        for key, _ in held.writes:
            del self._writes[key]
        for key in held.reads:
            self._reads[key].discard(txn)
            if not self._reads[key]:
                del self._reads[key]

    def check_read(self, key: bytes) -> None:
        """``Locked`` where somebody is about to write it."""
        if key in self._writes:
            raise Locked

    def check_range(self, start: bytes, end: bytes) -> None:
        if any(start <= key < end for key in self._writes):
            raise Locked

    def check_write(self, key: bytes) -> None:
        """``Locked`` where somebody has read it, or is about to write it."""
        if key in self._writes or key in self._reads:
            raise Locked
        for held in self.held.values():
            if any(start <= key < end for start, end in held.ranges):
                raise Locked

    def touches(self, start: bytes, end: bytes) -> bool:
        """Whether anything is held in start <= key < end."""
        for held in self.held.values():
            points = [*held.reads, *(k for k, _ in held.writes)]
            points += [change_key(topic, 0) for topic, _ in held.changes]
            points += [ordered_key(table, partition, 0) for table, partition, _, _ in held.ordered]
            if any(start <= k < end for k in points):
                return True
            if any(s < end and start < e for s, e in held.ranges):
                return True
        return False


def load(reader: Reader) -> Locks:
    """The locks as the rows say."""
    found = Locks()
    rows = reader.range(HELD, keys.after_prefix(HELD), HELD_MAX)
    found.note({r.key: r.value for r in rows})
    return found
