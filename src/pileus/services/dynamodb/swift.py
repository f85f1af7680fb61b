"""Reads answered from their bytes: GetItem and Query of the form of one that was met before.

The form is the body's text but for the values of keys: the same members in the same order, the
same table, names and expressions, written in the same way, and keys that are plain texts (printable
ASCII that JSON need not escape). A form is one regular expression; what it does not match goes the
usual way. It stands as long as no table's description changes.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from pileus.services.call import Call, Swift
from pileus.services.dynamodb.addresses import span
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.quick_query import QuickQuery
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import TEXT_MAX, Table
from pileus.state import keys

Match = Callable[[bytes], "re.Match[bytes] | None"]
Read = Callable[[bytes], "bytes | None"]
FORM_BYTES_MAX = 4096
FORMS_MAX = 8  # of one operation on one table
TABLES_MAX = 512
_STYLES = ((", ", ": "), (",", ":"))
_HOLE = "\ufdd0"  # no character: no client's text means it
_TEXT = rb"([ !#-\[\]-~]{1,%d})" % TEXT_MAX


class SwiftReads:
    """Knows the forms it has met, until any table changes; bounded: clients choose their text."""

    def __init__(self, room: Room, quick: QuickQuery) -> None:
        self._room = room
        self._quick = quick
        self._seen = -1
        self._known: dict[tuple[str, str], list[Read]] = {}

    def __call__(self, call: Call) -> Swift | None:
        """How requests like this one are answered from now on, or None. ``call`` was looked at by
        ``access.single``."""
        request, tables = call.request, self._room.tables
        table: Table = call.scratch
        if request is None or table.metered or not table.texts:
            return None
        seen = tables.now()
        if tables.find(call.account, call.region, call.params["TableName"]) is not table:
            return None  # it changed meanwhile
        if seen != self._seen or len(self._known) > TABLES_MAX:
            self._seen = seen
            self._known.clear()
        known = self._known.setdefault((table.id, call.operation), [])
        answer = respond(call, b"")
        if answer.headers:
            return None
        for read in known:
            if read(request.body) is not None:
                return Swift(read, answer.ready, request.meter)
        made = self._make(call, table, request.body, seen)
        if made is None or made(request.body) is None:
            return None
        if len(known) >= FORMS_MAX:
            known.clear()
        known.append(made)
        return Swift(made, answer.ready, request.meter)

    def _make(self, call: Call, table: Table, body: bytes, seen: int) -> Read | None:
        if call.operation == "GetItem":
            return _get(self._room, table, body, call.params, seen)
        if call.operation == "Query":
            return _query(self._quick, self._room, table, body, call.params, seen)
        return None


def form(body: bytes, params: Any, holes: list[dict[str, Any]]) -> Match | None:
    """What matches ``body`` and every text like it with other texts in ``holes``, attribute values
    within ``params``: their contents are the groups, in the order of the text. None where the body
    is not written in one of the two common ways."""
    if len(body) > FORM_BYTES_MAX or not all(map(_is_text, holes)):
        return None
    for style in _STYLES:
        if json.dumps(params, separators=style).encode() == body:
            break
    else:
        return None
    kept = [hole["S"] for hole in holes]
    for hole in holes:
        hole["S"] = _HOLE
    text = json.dumps(params, separators=style).encode()
    for hole, content in zip(holes, kept, strict=True):
        hole["S"] = content
    pieces = text.split(json.dumps(_HOLE)[1:-1].encode())
    if len(pieces) != len(holes) + 1:
        return None
    return _compiled(_TEXT.join(map(re.escape, pieces)))


def _is_text(value: Any) -> bool:
    return type(value) is dict and len(value) == 1 and type(value.get("S")) is str


@functools.lru_cache(512)
def _compiled(pattern: bytes) -> Match:
    return re.compile(pattern).fullmatch


def _get(room: Room, table: Table, body: bytes, params: Any, seen: int) -> Read | None:
    """GetItem of a whole item, eventually consistent."""
    key = params.get("Key")
    if len(params) != 2 or table.plain_key(key) is None:
        return None
    match = form(body, params, list(key.values()))
    if match is None:
        return None
    now, get, prefix = room.tables.now, room.store.get, table.rows_prefix
    at_hash = list(key).index(table.hash_name)
    ranged = bool(table.range_name)

    def read(body: bytes) -> bytes | None:
        found = match(body)
        if found is None or now() != seen:
            return None
        told = found.groups()
        head = told[at_hash]
        tail = told[1 - at_hash] if ranged else b""
        spread = (crc32(head) & 0xFFFF).to_bytes(2, "big")
        text = get(b"%b%b%b\x00\x01%b\x00\x01" % (prefix, spread, head, tail))
        return b"{}" if text is None else b'{"Item":%b}' % text

    return read


def _query(
    quick: QuickQuery, room: Room, table: Table, body: bytes, params: Any, seen: int
) -> Read | None:
    """Query of one partition by its keys alone, eventually consistent."""
    asked = quick.asked(table, params)
    if asked is None or "ConsistentRead" in params:
        return None
    values = params["ExpressionAttributeValues"]
    names = list(values)
    if set(names) != {asked.hash, *asked.operands}:
        return None
    match = form(body, params, list(values.values()))
    page = quick.page(room, table, params)
    if match is None or page is None:
        return None
    now, prefix, operator = room.tables.now, table.rows_prefix, asked.operator
    at_hash, at_operands = names.index(asked.hash), [names.index(n) for n in asked.operands]

    def read(body: bytes) -> bytes | None:
        found = match(body)
        if found is None or now() != seen:
            return None
        told = found.groups()
        start = keys.under_partition(prefix, told[at_hash])
        if not operator:
            return page(start, start[:-1] + b"\x02")
        where = span(start, operator, [told[at] for at in at_operands])
        return page(where.start, where.end)

    return read
