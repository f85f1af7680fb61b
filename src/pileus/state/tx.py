"""What a rule sees while ``apply`` runs it: rows, and nothing else.

No clock, no randomness, no await, no I/O but these reads. Writes are held back and reach the state
file only when
the rule returns, so a rule that raises has changed nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol

from pileus.state import keys


class Row(NamedTuple):
    """One row: its key, its bytes, and the sequence number of the entry that wrote it."""

    key: bytes
    value: bytes
    version: int


# The same in one step, from a tuple of the three: rows are made by the thousand.
as_row: Callable[[tuple[bytes, bytes, int]], Row] = partial(tuple.__new__, Row)


class Reader(Protocol):
    """Ordered rows, as of now."""

    def row(self, key: bytes) -> Row | None: ...
    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        """Rows with start <= key < end, in key order (or its reverse), at most ``limit``."""
        ...


class Tx:
    """One entry's view of the state. ``now_ms`` and ``request_id`` were minted before append and
    travel in the entry."""

    def __init__(self, reader: Reader, sequence: int, now_ms: int, request_id: bytes) -> None:
        self.sequence = sequence
        self.now_ms = now_ms
        self.request_id = request_id
        self.writes: dict[bytes, bytes | None] = {}
        self._reader = reader
        self._changes = 0

    @property
    def entry(self) -> int:
        """The entry's number in its log: ``sequence``, but where shards are several."""
        return self.sequence

    def row(self, key: bytes) -> Row | None:
        if key in self.writes:
            value = self.writes[key]
            return None if value is None else Row(key, value, self.sequence)
        return self._reader.row(key)

    def get(self, key: bytes) -> bytes | None:
        row = self.row(key)
        return None if row is None else row.value

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        """Like ``Reader.range``, this entry's own writes included."""
        mine = {k: v for k, v in self.writes.items() if start <= k < end}
        rows = self._reader.range(start, end, limit + len(mine), reverse)
        if mine:
            rows = [r for r in rows if r.key not in mine]
            rows += [Row(k, v, self.sequence) for k, v in mine.items() if v is not None]
            rows.sort(key=lambda r: r.key, reverse=reverse)
        return rows[:limit]

    def put(self, key: bytes, value: bytes) -> None:
        self.writes[key] = value

    def delete(self, key: bytes) -> None:
        self.writes[key] = None

    def change(self, topic: str, payload: bytes) -> None:
        """Record a change for the hub's consumers of ``topic``, in this transaction."""
        self.put(change_key(topic, self.sequence, self._changes), payload)
        self._changes += 1

    def put_in_order(self, table: str, partition: bytes, suffix: bytes, value: bytes) -> None:
        """A row that stands where this entry does in its log: its sort key is the entry's place (8
        bytes) and ``suffix``. The first one of an entry stays. A rule that asks for ``sequence``
        itself costs a transaction across shards one more turn; this does not."""
        row = ordered_key(table, partition, self.sequence, suffix)
        if row not in self.writes:
            self.put(row, value)


def changes_of(topic: str) -> tuple[str, str]:
    """The table and the partition of a topic's change records: ``changes`` and the topic; those of
    ``@TABLE/NAME`` lie in TABLE, for a topic whose records must lie beside what changes."""
    if topic[:1] != "@":
        return "changes", topic
    table, _, name = topic[1:].partition("/")
    return table, name


def change_prefix(topic: str) -> bytes:
    """What the keys of a topic's change records start with."""
    return keys.partition_prefix(*changes_of(topic))


class PlainTx(Tx):
    """The same where nothing has to be looked at before a read: the commonest, in fewer steps."""

    def get(self, key: bytes) -> bytes | None:
        if key in self.writes:
            return self.writes[key]
        row = self._reader.row(key)
        return None if row is None else row.value


def change_key(topic: str, sequence: int, index: int = 0) -> bytes:
    """Change records of a topic sort by (sequence, index)."""
    place = sequence.to_bytes(8, "big") + index.to_bytes(4, "big")
    return keys.key(*changes_of(topic), place)


def ordered_key(table: str, partition: bytes, sequence: int, suffix: bytes = b"") -> bytes:
    """The key of a row that ``put_in_order`` writes."""
    return keys.key(table, partition, sequence.to_bytes(8, "big") + suffix)


Result = Any
