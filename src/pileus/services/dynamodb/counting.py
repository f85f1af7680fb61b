"""How many items a table or index has, and their bytes.

Small tables are counted when asked. A larger one answers its last count, kept in a row by the
chores, which count again in slices when it has changed (AWS updates its figures every six hours).
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.dynamodb.values import item_size
from pileus.state import keys

COUNTS = "dynamodb.counts"
DIRECT_ROWS_MAX = 1000


def count_key(rows: str) -> bytes:
    """The row that keeps the last count of state table ``rows``: ``[items, bytes]``."""
    return keys.key(COUNTS, "counts", rows)


def count(room: Any, rows: str) -> tuple[int, int]:
    """(items, bytes) of state table ``rows``: exact when small, else as last counted."""
    prefix = keys.table_prefix(rows)
    found = room.store.range(prefix, keys.after_prefix(prefix), DIRECT_ROWS_MAX + 1)
    if len(found) <= DIRECT_ROWS_MAX:
        return len(found), sum(item_size(orjson.loads(r.value)) for r in found)
    last = room.store.get_json(count_key(rows))
    if last is None:
        return DIRECT_ROWS_MAX, sum(item_size(orjson.loads(r.value)) for r in found)
    return last[0], last[1]
