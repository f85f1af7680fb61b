"""Filling the rows of an index that was added to a live table.

The place where the next slice begins stands in a row, moved by the entry that fills the slice: who
takes the work up after a crash goes on there. Items that do not fit the index's key (another type,
empty, too long) are left out of it, as on AWS ("Detecting and correcting index key violations").
What is written meanwhile is kept by the writes themselves: filling a row twice is filling it once.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.dynamodb.applying import table_of
from pileus.state import keys
from pileus.state.tx import Tx

FILLING = "dynamodb.filling"
SLICE_ROWS = 200
SLICE_BYTES = 256 * 1024
CHUNK_ROWS = 10  # items may have 400 KB each


def place_key(rows: str) -> bytes:
    """The row that keeps how far the index with state table ``rows`` is filled."""
    return keys.key(FILLING, "filling", rows)


def fill(tx: Tx, args: list[Any]) -> bool:
    """``[meta_key, id, rows]``: the next slice of the index with state table ``rows``. False when
    all is filled, or the index is gone."""
    meta_key, incarnation, rows = args
    table = table_of(tx, meta_key, incarnation)
    index = next((i for i in table.indexes if i.rows == rows), None)
    if index is None:
        return False
    place = place_key(rows)
    start, end = tx.get(place) or table.rows_prefix, keys.after_prefix(table.rows_prefix)
    size = count = 0
    while size < SLICE_BYTES and count < SLICE_ROWS:
        found = tx.range(start, end, CHUNK_ROWS)
        for row in found:
            item = orjson.loads(row.value)
            address = index.address(item, table.sort_of(item))
            if address is not None:
                whole = index.projected is None
                tx.put(address, row.value if whole else orjson.dumps(index.image(item)))
            size += len(row.value)
        if len(found) < CHUNK_ROWS:
            tx.delete(place)
            return False
        count += len(found)
        start = found[-1].key + b"\x00"
    tx.put(place, start)
    return True
