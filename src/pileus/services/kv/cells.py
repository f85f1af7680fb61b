"""A cell's key and its stored form.

Key: table ``kv:NAME``, one partition per account, sort = ``esc(row) + column``: rows list in order.
Form: ``msgpack([size, inline bytes or nil, [chunk digest, …]])``; digests are 32 raw bytes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import msgspec

from pileus.errors import AwsError
from pileus.state import keys

CHUNK_BYTES = 64 * 1024 * 1024
INLINE_BYTES_MAX = 48 * 1024
VALUE_BYTES_MAX = 5 * 1024**3
NAME_BYTES_MAX = 1024
TABLE_NAME = re.compile(r"[A-Za-z0-9._-]{1,255}\Z")


class Cell(NamedTuple):
    """What the table holds at (row, column): a short value itself, a long one's chunks."""

    size: int
    inline: bytes | None
    chunks: list[bytes]


encode = msgspec.msgpack.Encoder().encode
decode = msgspec.msgpack.Decoder(Cell).decode


def check_names(table: str, *names: str) -> None:
    """``AwsError`` ValidationException when a name does not fit."""
    if not TABLE_NAME.match(table):
        raise _invalid("a table's name is 1 to 255 letters, digits, '.', '_' or '-'")
    for name in names:
        if not 0 < len(name.encode()) <= NAME_BYTES_MAX:
            raise _invalid(f"rows and columns are 1 to {NAME_BYTES_MAX} bytes of UTF-8")


def _invalid(message: str) -> AwsError:
    return AwsError("ValidationException", message, 400)


def cell_key(table: str, account: str, row: str, column: str) -> bytes:
    return keys.key(f"kv:{table}", account, keys.escape(row.encode()) + column.encode())


def place(key: bytes) -> tuple[str, str]:
    """(row, column) of a cell's key."""
    row, at = keys.unescape(keys.split(key)[2])
    return row.decode(), keys.split(key)[2][at:].decode()


def rows_prefix(table: str, account: str, prefix: str = "") -> bytes:
    """What the keys of all rows that start with ``prefix`` start with."""
    inner = keys.escape(prefix.encode())[:-2]
    return keys.partition_prefix(f"kv:{table}", account) + keys.escape(inner)[:-2]


def columns_prefix(table: str, account: str, row: str, prefix: str = "") -> bytes:
    """What the keys of a row's columns that start with ``prefix`` start with."""
    sort = keys.escape(row.encode()) + prefix.encode()
    return keys.partition_prefix(f"kv:{table}", account) + keys.escape(sort)[:-2]
