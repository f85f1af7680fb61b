"""How many rows fill a page of Query and Scan.

The service stops after the item with which a page reaches 1 MB, counted in the form it stores items
in, not in the form it bills (its documentation says only "1 MB"; dynalite measured the form): an
attribute's name costs one byte, a text one to three bytes of length, and every 3 KB of an item
carry 18 bytes and a copy of the range key.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import orjson

from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.values import Item, Value, item_size, size_of, text_size

PAGE_BYTES_MAX = 1024 * 1024
CHUNK_ROWS = 100
CHUNK_ROWS_MAX = 1000
BLOCK_BYTES = 3072
ROW_BYTES_MORE = 1100  # what a stored item may take beyond its text: a block's head and range key


@dataclass(slots=True)
class Page:
    """Row texts in order, their billed sizes when counted, and whether more may follow."""

    texts: list[bytes]
    size_bytes: int
    more: bool


Pairs = Callable[[bytes, bytes, int, bool], list[tuple[bytes, bytes]]]


def read_page(
    pairs: Pairs, where: Span, reverse: bool, limit: int, priced: bool, range_name: str
) -> Page:
    """Up to ``limit`` rows (0: no limit), ending after the row that fills the page. Rows are
    measured only when they may fill it, or when a price is asked."""
    texts: list[bytes] = []
    start, end = where.start, where.end
    length = billed = stored = counted = 0
    chunk = CHUNK_ROWS
    while start < end:
        want = min(chunk, limit - len(texts)) if limit else chunk
        rows = pairs(start, end, want, reverse)
        texts += [value for _, value in rows]
        length += sum(len(value) for _, value in rows)
        full = length + length // 2 + ROW_BYTES_MORE * len(texts) >= PAGE_BYTES_MAX
        if priced or full:
            while counted < len(texts):
                item = orjson.loads(texts[counted])
                counted += 1
                billed += item_size(item)
                if full:
                    stored += stored_size(item, range_name)
                    if stored >= PAGE_BYTES_MAX:
                        return Page(texts[:counted], billed, True)
        if limit and len(texts) >= limit:
            return Page(texts, billed, True)
        if len(rows) < want:
            break
        if reverse:
            end = rows[-1][0]
        else:
            start = rows[-1][0] + b"\x00"
        chunk = CHUNK_ROWS_MAX
    return Page(texts, billed, False)


def stored_size(item: Item, range_name: str) -> int:
    """Bytes of an item as a page counts them."""
    size = head = 0
    for name, value in item.items():
        if name == range_name:
            head = size_of(value)
        else:
            size += 1 + _stored(value)
    return 2 + size + (1 + (1 + size) // BLOCK_BYTES) * (18 + head)


def _stored(value: Value, in_set: bool = False) -> int:
    for kind, content in value.items():
        if kind == "S":
            size = text_size(content)
            return size + (1 if in_set or size < 128 else 2 if size < 16384 else 3)
        if kind == "N":
            return numbers.size(content) + 1
        if kind == "B":
            return size_of(value) + 1
        if kind == "M":
            return 3 + len(content) + sum(1 + _stored(v) for v in content.values())
        if kind == "L":
            return 3 + sum(1 + _stored(v) for v in content)
        if kind in ("SS", "NS", "BS"):
            return 1 + sum(_stored({kind[0]: x}, in_set=True) for x in content)
        return 1 if kind == "BOOL" else 0
    return 0
