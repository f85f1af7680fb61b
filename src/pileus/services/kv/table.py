"""The wide table in Python: get, put, conditional put, delete, list (S1, S2)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, NamedTuple

from pileus.errors import AwsError
from pileus.services.kv.cells import (
    CHUNK_BYTES,
    INLINE_BYTES_MAX,
    VALUE_BYTES_MAX,
    Cell,
    cell_key,
    check_names,
    columns_prefix,
    decode,
    place,
    rows_prefix,
)
from pileus.state import keys

LIST_MAX = 1000
Condition = list[Any] | None


class Found(NamedTuple):
    """A cell and the version to name when it is changed conditionally."""

    version: int
    cell: Cell


class Column(NamedTuple):
    column: str
    version: int
    size: int


def version_is(version: int) -> Condition:
    """The cell must stand at ``version``; 0: it must be missing."""
    return ["version", version]


def tables(store: Any, account: str) -> list[str]:
    """Names of the account's tables that hold a cell, in order; two looks per table."""
    names: list[str] = []
    start, end = b"kv:", keys.after_prefix(b"kv:")
    while found := store.range(start, end, 1):
        table = keys.split(found[0].key)[0]
        own = keys.partition_prefix(table, account)
        if store.range(own, keys.after_prefix(own), 1):
            names.append(table[3:])
        start = keys.after_prefix(keys.table_prefix(table))
    return names


class Table:
    """One table of one account."""

    def __init__(self, store: Any, blobs: Any, name: str, account: str) -> None:
        check_names(name)
        self._store = store
        self._blobs = blobs
        self._name = name
        self._account = account

    # -- reads -----------------------------------------------------------------------------

    def find(self, row: str, column: str) -> Found | None:
        """The cell at (row, column), or None."""
        check_names(self._name, row, column)
        found = self._store.row(cell_key(self._name, self._account, row, column))
        return None if found is None else Found(found.version, decode(found.value))

    async def get(self, row: str, column: str) -> bytes | None:
        """A whole value in memory, or None. For long values use ``find`` and ``stream``."""
        found = self.find(row, column)
        if found is None:
            return None
        return b"".join([chunk async for chunk in self.stream(found.cell)])

    async def stream(
        self, cell: Cell, offset: int = 0, length: int | None = None
    ) -> AsyncIterator[bytes]:
        """The bytes ``offset`` to ``offset + length`` of a value, in pieces of at most 1 MiB."""
        end = cell.size if length is None else min(cell.size, offset + length)
        if cell.inline is not None:
            yield cell.inline[offset:end]
            return
        while offset < end:
            number, within = divmod(offset, CHUNK_BYTES)
            part = min(end - offset, CHUNK_BYTES - within)
            async for piece in self._blobs.read(cell.chunks[number].hex(), within, part):
                yield piece
            offset += part

    def rows(self, prefix: str = "", after: str = "", limit: int = 100) -> list[str]:
        """Names of rows that start with ``prefix``, in byte order, above ``after``."""
        start = whole = rows_prefix(self._name, self._account, prefix)
        end = keys.after_prefix(whole)
        if after:
            start = max(start, self._behind(after))
        names: list[str] = []
        while len(names) < limit:
            found = self._store.range(start, end, 1)
            if not found:
                break
            names.append(place(found[0].key)[0])
            start = self._behind(names[-1])
        return names

    def _behind(self, row: str) -> bytes:
        return keys.after_prefix(columns_prefix(self._name, self._account, row))

    def columns(
        self, row: str, prefix: str = "", after: str = "", limit: int = 100
    ) -> list[Column]:
        """A row's columns that start with ``prefix``, in byte order, above ``after``."""
        check_names(self._name, row)
        start = whole = columns_prefix(self._name, self._account, row, prefix)
        if after:
            start = max(start, cell_key(self._name, self._account, row, after) + b"\x00")
        found = self._store.range(start, keys.after_prefix(whole), limit)
        return [Column(place(r.key)[1], r.version, decode(r.value).size) for r in found]

    # -- writes ----------------------------------------------------------------------------

    async def put(
        self,
        row: str,
        column: str,
        value: bytes | AsyncIterator[bytes],
        condition: Condition = None,
        request_id: bytes = b"",
    ) -> int:
        """Store a value (bytes, or pieces of one) and answer its version. ``AwsError``
        ConditionalCheckFailed when ``condition`` does not hold."""
        check_names(self._name, row, column)
        cell = await self._store_bytes(_once(value) if isinstance(value, bytes) else value)
        key = cell_key(self._name, self._account, row, column)
        args = {"key": key, "cell": cell, "condition": condition}
        return int(await self._store.submit("kv.put", args, request_id))

    async def cput(
        self, row: str, column: str, old: bytes | None, new: bytes, request_id: bytes = b""
    ) -> int:
        """Store ``new`` only if the cell holds ``old`` (None: is missing)."""
        condition = version_is(0)
        if old is not None:
            condition = ["value", *await self._store_bytes(_once(old))]
        return await self.put(row, column, new, condition, request_id)

    async def delete(
        self, row: str, column: str, condition: Condition = None, request_id: bytes = b""
    ) -> bool:
        """Remove a cell; answers whether there was one."""
        check_names(self._name, row, column)
        key = cell_key(self._name, self._account, row, column)
        args = {"key": key, "condition": condition}
        return bool(await self._store.submit("kv.delete", args, request_id))

    async def _store_bytes(self, pieces: AsyncIterator[bytes]) -> Cell:
        """Take a value in: short ones stay in memory for the row, long ones become blobs."""
        short, size = bytearray(), 0
        writer, chunks = None, []
        try:
            async for piece in pieces:
                size += len(piece)
                if size > VALUE_BYTES_MAX:
                    raise AwsError("EntityTooLarge", "A value is at most 5 GiB", 400)
                short += piece
                if writer is None and size > INLINE_BYTES_MAX:
                    writer = self._blobs.create()
                while writer is not None and short:
                    part = bytes(short[: CHUNK_BYTES - writer.size])
                    del short[: len(part)]
                    await writer.write(part)
                    if writer.size == CHUNK_BYTES:
                        chunks.append(bytes.fromhex(await writer.commit()))
                        writer = self._blobs.create()
            if writer is not None and writer.size:
                chunks.append(bytes.fromhex(await writer.commit()))
                writer = None
        finally:
            if writer is not None:
                await writer.abort()
        return Cell(size, None, chunks) if chunks else Cell(size, bytes(short), [])


async def _once(value: bytes) -> AsyncIterator[bytes]:
    yield value
