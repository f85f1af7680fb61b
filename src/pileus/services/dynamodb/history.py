"""Before-images: what an item was before each write, so that any moment can be had back.

While a table is *recorded* (point-in-time recovery is on, or a copy of it is being made), each
write adds one row: its place in the log, its time, the item's text before it (nil: absent). The
table as of a place is the table now with the first before-image at or after that place put back.

Rows stand in ``d:<id>:<history id>`` in the order of the log. Full stretches are *sealed*: packed
into a blob that a row of ``d:<id>:<history id>.past`` names (by the place of its last record), so
that the state file holds a megabyte of history per table at most.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec

from pileus.services.dynamodb.schema import Table
from pileus.state import keys
from pileus.state.tx import Tx

MARKS = "dynamodb.marks"
_encode = msgspec.msgpack.Encoder().encode
_decode_image = msgspec.msgpack.Decoder(tuple[int, bytes | None]).decode


class Record(NamedTuple):
    """``place``: sequence number (8 bytes) and the item's key within its table. ``old``: its text
    before the write."""

    place: bytes
    at_ms: int
    old: bytes | None

    @property
    def item(self) -> bytes:
        """The key within the table: what follows ``Table.rows_prefix``."""
        return self.place[8:]


def place_after(sequence: int) -> bytes:
    """The place of the first write above ``sequence``."""
    return (sequence + 1).to_bytes(8, "big")


def remember(tx: Tx, table: Table, key: bytes, old: bytes | None) -> None:
    """Keep the image of an item that is about to change."""
    image = _encode((tx.now_ms, old))
    tx.put_in_order(table.history, b"", key[len(table.rows_prefix) :], image)


def record_of(key: bytes, value: bytes) -> Record:
    """A row of history."""
    at_ms, old = _decode_image(value)
    return Record(keys.split(key)[2], at_ms, old)


def past(history: str) -> str:
    """The state table that names the sealed stretches of a history."""
    return history + ".past"


def blob_reference(digest: str, owner: bytes) -> bytes:
    """The row that keeps the collector away from a blob."""
    return keys.key("blobrefs", digest, owner)


def seal(tx: Tx, args: list[Any]) -> None:
    """``[history, first place, last place, count, digest, value]``: the stretch is in a blob now;
    drop its rows, name the blob."""
    history, first, last, count, digest, value = args
    start = keys.key(history, b"", first)
    end = keys.key(history, b"", last) + b"\x00"
    for row in tx.range(start, end, count):
        tx.delete(row.key)
    owner = keys.key(past(history), b"", last)
    tx.put(owner, value)
    tx.put(blob_reference(digest, owner), b"")


def unseal(tx: Tx, args: list[Any]) -> int:
    """``[history, limit_ms, limit]``: forget sealed stretches, oldest first, that end before
    ``limit_ms`` (nil: all). Answers how many."""
    history, limit_ms, limit = args
    prefix = keys.table_prefix(past(history))
    gone = 0
    for row in tx.range(prefix, keys.after_prefix(prefix), limit):
        digest, last_ms = msgspec.msgpack.decode(row.value)[:2]
        if limit_ms is not None and last_ms >= limit_ms:
            break
        tx.delete(row.key)
        tx.delete(blob_reference(digest, row.key))
        gone += 1
    return gone


# -- who needs it ---------------------------------------------------------------------------


def mark_key(table_id: str, copy_id: str, several: bool = False) -> bytes:
    """The row whose version is the sequence number a copy is made of: beside the table's items
    where shards are ``several``, for each counts for itself."""
    if several:
        return keys.key(f"d:{table_id}:marks", b"", copy_id)
    return keys.key(MARKS, table_id, copy_id)


def mark_of(store: Any, table_id: str, copy_id: str) -> Any:
    """The row of a copy's mark."""
    beside = store.row(mark_key(table_id, copy_id, several=True))
    return beside if beside is not None else store.row(mark_key(table_id, copy_id))


def begin(draft: Any, row: dict[str, Any], copy_id: str, history_id: str) -> None:
    """In the entry that begins a copy: the table (metadata ``row``) is recorded from here on."""
    row.setdefault("history", history_id)
    row["copies"] = [*row.get("copies", ()), copy_id]
    draft.put(mark_key(row["id"], copy_id, draft.several), b"")


def end(draft: Any, row: dict[str, Any], copy_id: str) -> list[str]:
    """In the entry that ends a copy. Answers state tables to be emptied: the history that nobody
    needs any more."""
    draft.delete(mark_key(row["id"], copy_id))
    if draft.several:
        draft.delete(mark_key(row["id"], copy_id, several=True))
    row["copies"] = [c for c in row.get("copies", ()) if c != copy_id]
    return release(row)


def release(row: dict[str, Any]) -> list[str]:
    """Stop recording when neither recovery nor a copy needs it; answers as ``end``."""
    if row.get("pitr") or row.get("copies") or "history" not in row:
        return []
    return histories(row)


def histories(row: dict[str, Any]) -> list[str]:
    """Take the history off a metadata row; answers its state tables."""
    history_id = row.pop("history", None)
    if history_id is None:
        return []
    name = f"d:{row['id']}:{history_id}"
    return [name, past(name)]
