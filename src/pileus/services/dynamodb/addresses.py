"""Where items and index entries live: attribute values → row keys and key ranges.

Base rows: table ``d:<id>``, partition = hash key, sort = range key. Index rows: table
``d:<id>:<index id>``, partition = index hash key, sort = ``escape(index range key)`` (left out when
the index has none) + the item's own key, so that equal index keys stay distinct.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
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


def _doubled(value: bytes) -> bytes:
    """``value`` as it stands in an index row's key: escaped in its sort part, then in the key."""
    return value.replace(b"\x00", b"\x00\xff").replace(b"\x00", b"\x00\xff")


def span(prefix: bytes, operator: str, operands: list[bytes]) -> Span:
    """The base rows of a partition (``prefix``) whose range key meets the condition.

    ``operator``: ``""`` (all), EQ, LT, LE, GT, GE, BETWEEN, BEGINS_WITH.
    """

    def low(value: bytes) -> bytes:
        return prefix + keys.escape(value)

    def high(value: bytes) -> bytes:
        return prefix + keys.escape(value) + b"\x00"

    def begin(value: bytes) -> bytes:
        return prefix + value.replace(b"\x00", b"\x00\xff")

    return _bounds(prefix, operator, operands, low, high, begin)


def index_span(
    prefix: bytes, lead: bytes, operator: str, operands: list[bytes], final: bool
) -> Span:
    """The index rows of a partition whose range key meets the condition.

    ``lead`` is the escaped form of the range attributes already fixed; ``final`` tells whether the
    condition is on the last of them.
    """

    def low(value: bytes) -> bytes:
        whole = lead + value if final else lead + keys.escape(value)
        if final:
            return prefix + keys.escape(whole).replace(b"\x00", b"\x00\xff")
        return prefix + _doubled(whole)

    def high(value: bytes) -> bytes:
        return keys.after_prefix(low(value))

    def begin(value: bytes) -> bytes:
        return prefix + _doubled(lead + (value if final else value.replace(b"\x00", b"\x00\xff")))

    return _bounds(prefix + _doubled(lead), operator, operands, low, high, begin)


Place = Callable[[bytes], bytes]


def _bounds(
    whole: bytes, operator: str, operands: list[bytes], low: Place, high: Place, begin: Place
) -> Span:
    """``low`` and ``high``: first key with, and first key above, a value; ``begin``: a prefix."""
    start, end = whole, keys.after_prefix(whole)
    if not operator:
        return Span(start, end)
    a = operands[0]
    if operator == "EQ":
        return Span(low(a), high(a))
    if operator == "LT":
        return Span(start, low(a))
    if operator == "LE":
        return Span(start, high(a))
    if operator == "GT":
        return Span(high(a), end)
    if operator == "GE":
        return Span(low(a), end)
    if operator == "BETWEEN":
        return Span(low(a), high(operands[1]))
    return Span(begin(a), keys.after_prefix(begin(a)))


def segment(table: str, number: int, total: int) -> Span:
    """The share of a parallel scan: an even cut of the two-byte hashes."""
    base = keys.table_prefix(table)
    first, last = -(-65536 * number // total), -(-65536 * (number + 1) // total)
    end = keys.after_prefix(base) if last == 65536 else base + last.to_bytes(2, "big")
    start = base if first == 0 else base + min(first, 65535).to_bytes(2, "big")
    return Span(start, end if first < 65536 else start)
