"""Where items and index entries live: attribute values → row keys and key ranges.

Base rows: table ``d:<id>``, partition = hash key, sort = range key. Index rows: table
``d:<id>:<index>``, partition = index hash key, sort = ``escape(index range key)`` (left out when
the index has none) + the item's own key, so that equal index keys stay distinct.
"""

from __future__ import annotations

import binascii
from dataclasses import dataclass

from pileus.services.dynamodb import numbers
from pileus.state import keys


def key_bytes(kind: str, content: str) -> bytes:
    """Order-preserving bytes of a key attribute's (canonical) content."""
    if kind == "S":
        return content.encode()
    if kind == "N":
        return numbers.order_bytes(content)
    return binascii.a2b_base64(content)


def index_sort(range_key: bytes | None, item_key: bytes) -> bytes:
    """The sort part of an index row."""
    return item_key if range_key is None else keys.escape(range_key) + item_key


@dataclass(frozen=True, slots=True)
class Span:
    """Keys with start <= key < end."""

    start: bytes
    end: bytes


def _inner(value: bytes, indexed: bool) -> bytes:
    """``value`` as it stands in a row key, without its end mark."""
    raw = value.replace(b"\x00", b"\x00\xff")
    return raw.replace(b"\x00", b"\x00\xff") if indexed else raw


def _low(prefix: bytes, value: bytes, indexed: bool) -> bytes:
    """The first key whose range key is ``value``."""
    if indexed:
        return prefix + keys.escape(value).replace(b"\x00", b"\x00\xff")
    return prefix + keys.escape(value)


def _high(prefix: bytes, value: bytes, indexed: bool) -> bytes:
    """The first key above all whose range key is ``value``."""
    low = _low(prefix, value, indexed)
    return keys.after_prefix(low) if indexed else low + b"\x00"


def span(prefix: bytes, operator: str, operands: list[bytes], indexed: bool) -> Span:
    """The keys of a partition (``prefix``) whose range key meets the condition.

    ``operator``: ``""`` (all), EQ, LT, LE, GT, GE, BETWEEN, BEGINS_WITH.
    """
    start, end = prefix, keys.after_prefix(prefix)
    if not operator:
        return Span(start, end)
    a = operands[0]
    if operator == "EQ":
        return Span(_low(prefix, a, indexed), _high(prefix, a, indexed))
    if operator == "LT":
        return Span(start, _low(prefix, a, indexed))
    if operator == "LE":
        return Span(start, _high(prefix, a, indexed))
    if operator == "GT":
        return Span(_high(prefix, a, indexed), end)
    if operator == "GE":
        return Span(_low(prefix, a, indexed), end)
    if operator == "BETWEEN":
        return Span(_low(prefix, a, indexed), _high(prefix, operands[1], indexed))
    begin = prefix + _inner(a, indexed)
    return Span(begin, keys.after_prefix(begin))


def segment(table: str, number: int, total: int) -> Span:
    """The share of a parallel scan: an even cut of the two-byte hashes."""
    base = keys.table_prefix(table)
    first, last = -(-65536 * number // total), -(-65536 * (number + 1) // total)
    end = keys.after_prefix(base) if last == 65536 else base + last.to_bytes(2, "big")
    start = base if first == 0 else base + min(first, 65535).to_bytes(2, "big")
    return Span(start, end if first < 65536 else start)
