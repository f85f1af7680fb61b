"""How a row is addressed: one binary key, compared byte by byte.

``table NUL hash2 esc(partition) esc(sort)``: rows sort by (table, hash of partition key, partition
key, sort key).
``esc`` keeps order and marks the end: every 00 byte becomes 00 FF, then 00 01 closes the part. A
tablet is any
range of this order. Tables whose rows must list in order across partitions put everything in one
partition.
"""

from __future__ import annotations

import zlib

END = b"\x00\x01"


def escape(part: bytes) -> bytes:
    """Order-preserving, self-delimiting form of ``part``."""
    return part.replace(b"\x00", b"\x00\xff") + END


def unescape(data: bytes, at: int = 0) -> tuple[bytes, int]:
    """The part that starts at ``at`` and the place after its end mark."""
    end = at
    while True:
        end = data.index(b"\x00", end)
        if data[end + 1] == 1:
            return data[at:end].replace(b"\x00\xff", b"\x00"), end + 2
        end += 2


def _bytes(part: str | bytes) -> bytes:
    return part.encode() if isinstance(part, str) else part


def hash2(partition: bytes) -> bytes:
    """The tablet address: two bytes that spread partitions evenly."""
    return (zlib.crc32(partition) & 0xFFFF).to_bytes(2, "big")


def partition_prefix(table: str, partition: str | bytes) -> bytes:
    """What all keys of one partition start with."""
    p = _bytes(partition)
    return table.encode() + b"\x00" + hash2(p) + escape(p)


def key(table: str, partition: str | bytes, sort: str | bytes = b"") -> bytes:
    """The key of one row. ``table`` must not contain NUL."""
    return under(table.encode() + b"\x00", _bytes(partition), _bytes(sort))


def under(prefix: bytes, partition: bytes, sort: bytes = b"") -> bytes:
    """``key`` for a table whose ``table_prefix`` is at hand, in one step."""
    return b"%b%b%b\x00\x01%b\x00\x01" % (
        prefix,
        (zlib.crc32(partition) & 0xFFFF).to_bytes(2, "big"),
        partition.replace(b"\x00", b"\x00\xff"),
        sort.replace(b"\x00", b"\x00\xff"),
    )


def under_partition(prefix: bytes, partition: bytes) -> bytes:
    """``partition_prefix`` for a table whose ``table_prefix`` is at hand."""
    return b"%b%b%b\x00\x01" % (
        prefix,
        (zlib.crc32(partition) & 0xFFFF).to_bytes(2, "big"),
        partition.replace(b"\x00", b"\x00\xff"),
    )


def table_prefix(table: str) -> bytes:
    return table.encode() + b"\x00"


def head(k: bytes) -> bytes:
    """What all keys of one partition, and of those of its table with the same hash, start with."""
    return k[: k.find(b"\x00") + 3]


def split(k: bytes) -> tuple[str, bytes, bytes]:
    """(table, partition, sort) of a key."""
    cut = k.index(b"\x00")
    partition, at = unescape(k, cut + 3)
    sort, _ = unescape(k, at)
    return k[:cut].decode(), partition, sort


def after_prefix(prefix: bytes) -> bytes:
    """The smallest key above every key that starts with ``prefix``."""
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1]) if trimmed else b"\xff" * 64
