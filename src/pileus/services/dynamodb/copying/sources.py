"""Objects of an import as items: lines of DynamoDB JSON (``{"Item": …}``), of Amazon Ion text
(``ion``) or of CSV (RFC 4180).

Developer Guide, "Amazon S3 import formats for DynamoDB". A line that is no item of the table is an
error and left out; an object that cannot be read on is given up where that shows.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, NamedTuple

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb.copying import ion
from pileus.services.dynamodb.copying.snapshot import Items
from pileus.services.dynamodb.copying.unpacking import UNPACKERS, Malformed
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, Item, Misshapen, check_item

LINE_BYTES_MAX = 4 * 1024 * 1024
_NEXT = re.compile(rb"\}[ \t\r]*\{")
_BLANKS = re.compile(r"[ \t\r]*")
_DECODER = json.JSONDecoder()
BOM = b"\xef\xbb\xbf"


class Batch(NamedTuple):
    """Some lines of an object: their items, what was wrong with which, their bytes."""

    items: Items
    errors: list[tuple[int, str]]
    size: int


class Wrong(Exception):
    """A line that is no item, and why."""


class Reader:
    """Reads one object for ``table``. ``told``: the import's description."""

    def __init__(self, table: Table, told: dict[str, Any]) -> None:
        self._table = table
        self._unpacker = UNPACKERS[told["InputCompressionType"]]()
        self._csv: Csv | None = None
        self._item = _ion if told["InputFormat"] == "ION" else _json
        self._split = _values if told["InputFormat"] == "DYNAMODB_JSON" else _whole
        if told["InputFormat"] == "CSV":
            self._csv = Csv(table, told.get("InputFormatOptions", {}).get("Csv", {}))
            self._item = self._csv.item
        self._left = b""
        self._first = True
        self._index = 0

    def feed(self, data: bytes) -> Iterator[Batch]:
        """Batches of the lines that ``data`` ends; ``Malformed`` where the rest is lost."""
        for block in self._unpacker.feed(data):
            yield self._lines(block)

    def end(self) -> Iterator[Batch]:
        """The last line, which needs no line break."""
        yield self._lines(b"\n")._replace(size=0)
        if self._csv is not None and self._csv.open:
            raise Malformed("The object ends within a quoted field")
        self._unpacker.end()

    def _lines(self, block: bytes) -> Batch:
        text = self._left + block
        if self._first and text:
            text, self._first = text.removeprefix(BOM), False
        *lines, self._left = text.split(b"\n")
        if len(self._left) > LINE_BYTES_MAX:
            raise Malformed(f"A line is longer than {LINE_BYTES_MAX} bytes")
        items: Items = []
        errors: list[tuple[int, str]] = []
        for line in chain.from_iterable(map(self._split, lines)):
            try:
                item = self._item(line)
                if item is None:
                    continue
                items.append(_row(self._table, item))
            except Wrong as wrong:
                errors.append((self._index, str(wrong)))
            self._index += 1
        return Batch(items, errors, len(block))


def _whole(line: bytes) -> list[bytes]:
    return [line]


def _values(line: bytes) -> Iterable[bytes]:
    """The JSON values of a line: observed, an import also takes several with no break between them.
    What follows the last whole one is told as it is."""
    if _NEXT.search(line) is None:
        return [line]
    found: list[bytes] = []
    try:
        rest = line.decode().strip()
    except UnicodeDecodeError:
        return [line]
    at = 0
    try:
        while at < len(rest):
            end = _DECODER.raw_decode(rest, at)[1]
            found.append(rest[at:end].encode())
            blanks = _BLANKS.match(rest, end)
            assert blanks is not None
            at = blanks.end()
    except (ValueError, RecursionError):
        found.append(rest[at:].encode())
    return found


def _json(line: bytes) -> Item | None:
    if not line.strip():
        return None
    try:
        found = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise Wrong(f"The line is not JSON: {error}") from None
    if type(found) is not dict or found.keys() != {"Item"} or type(found["Item"]) is not dict:
        raise Wrong('The line is not of the form {"Item": {…}}')
    item: Item = found["Item"]
    return item


def _ion(line: bytes) -> Item | None:
    try:
        return ion.item(line)
    except ion.NotIon as error:
        raise Wrong(str(error)) from None


def _row(table: Table, item: Item) -> tuple[bytes, bytes]:
    """The item by its key within the table."""
    try:
        size = check_item(item)
        key = table.item_key(item)
    except Misshapen:
        raise Wrong("An attribute is not of the form of DynamoDB JSON") from None
    except AwsError as error:
        raise Wrong(error.message) from None
    if size > ITEM_BYTES_MAX:
        raise Wrong("Item size has exceeded the maximum allowed size")
    return key[len(table.rows_prefix) :], orjson.dumps(item)


class Csv:
    """CSV lines as items. The first line names the attributes unless ``HeaderList`` does. Keys have
    the types of the table and its indexes, everything else is text. A field in quotes may hold line
    breaks."""

    def __init__(self, table: Table, options: dict[str, Any]) -> None:
        self._delimiter = options.get("Delimiter", ",")
        self._names: list[str] | None = options.get("HeaderList")
        self._types = dict(table.key_attributes)
        self._sparse = {n for n, _, _ in table.index_types}
        for index in table.indexes:
            self._types |= dict(index.key_attributes)
        self._record: list[bytes] = []
        self._quotes = self._size = 0

    @property
    def open(self) -> bool:
        """Within a quoted field?"""
        return self._quotes % 2 == 1

    def item(self, line: bytes) -> Item | None:
        """The item that this line ends; None: none."""
        self._record.append(line)
        self._quotes += line.count(b'"')
        self._size += len(line)
        if self.open:
            if self._size > LINE_BYTES_MAX:
                raise Malformed(f"A record is longer than {LINE_BYTES_MAX} bytes")
            return None
        record, self._record = b"\n".join(self._record), []
        self._quotes = self._size = 0
        if not record.strip():
            return None
        fields = self._fields(record)
        if self._names is None:
            self._names = fields
            return None
        if len(fields) != len(self._names):
            raise Wrong(f"The line has {len(fields)} fields, the header {len(self._names)}")
        return {
            name: {self._types.get(name, "S"): value}
            for name, value in zip(self._names, fields, strict=True)
            if value or name not in self._sparse
        }

    def _fields(self, record: bytes) -> list[str]:
        try:
            text = record.decode().removesuffix("\r")
            (fields,) = csv.reader([text], delimiter=self._delimiter, strict=True)
        except (UnicodeDecodeError, csv.Error, ValueError) as error:
            raise Wrong(f"The line is not CSV in UTF-8: {error}") from None
        return fields
