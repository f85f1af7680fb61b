"""Requests answered from their bytes: of the form of one that was met before.

A form (``forms``) is the body's text but for the values of keys and, of a write, of attributes: the
same members in the same order, the same table, names and expressions, written in the same way. What
is not of it goes the usual way. It stands as long as no table's description changes. Here are
GetItem and Query, in ``swift_writes`` PutItem and UpdateItem, in ``swift_transact``
TransactWriteItems.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from pileus.services.call import Call, Done, Swift
from pileus.services.dynamodb import swift_writes
from pileus.services.dynamodb.addresses import span
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import worded
from pileus.services.dynamodb.catalog import META
from pileus.services.dynamodb.forms import MADE, Match, form, read_hole
from pileus.services.dynamodb.kept import KeptAnswers, Read, Reading, Stretch
from pileus.services.dynamodb.quick_query import QuickQuery
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.swift_transact import transact
from pileus.state import keys

FORMS_MAX = 8  # of one operation on one table
TABLES_MAX = 512
WRITES = {"PutItem": swift_writes.put, "UpdateItem": swift_writes.update}


class Known(NamedTuple):
    """A form and what it runs: one of the two."""

    match: Match
    read: Read | None = None
    write: Callable[[bytes, bytes, Done], bool] | None = None


class SwiftForms:
    """Knows the forms it has met, until any table changes; bounded: clients choose their text."""

    def __init__(self, room: Room, quick: QuickQuery) -> None:
        self._room = room
        self._quick = quick
        self._seen = -1
        self._kept = KeptAnswers(room.store)
        self._known: dict[tuple[str, str], list[Known]] = {}

    def __call__(self, call: Call) -> Swift | None:
        """How requests like this one are answered from now on, or None. ``call`` was looked at by
        ``access.single`` or ``quick_transact.several``."""
        request, tables = call.request, self._room.tables
        named = _named(call)
        reads = call.operation in ("GetItem", "Query")
        if request is None or any(t.metered or not (t.texts or reads) for _, t in named):
            return None
        seen = tables.now()
        if any(tables.find(call.account, call.region, name) is not t for name, t in named):
            return None  # it changed meanwhile
        if seen != self._seen or len(self._known) > TABLES_MAX:
            self._seen = seen
            self._known.clear()
            self._kept.forget()
        known = self._known.setdefault((named[0][1].id, call.operation), [])
        answer = respond(call, b"")
        if answer.headers:
            return None
        found = next((k for k in known if k.match(request.body) is not None), None)
        if found is None:
            found = self._make(call, request.body, seen)
            if found is None or found.match(request.body) is None:
                return None
            if len(known) >= FORMS_MAX:
                known.clear()
            known.append(found)
        return Swift(found.match, answer.ready, request.meter, found.read, found.write, worded)

    def _make(self, call: Call, body: bytes, seen: int) -> Known | None:
        table: Any = call.scratch
        if call.operation == "GetItem":
            return self._keeping(_get(self._room, table, body, call.params, seen))
        if call.operation == "Query":
            return self._keeping(_query(self._quick, self._room, table, body, call.params, seen))
        # On a cluster a refused write waits for a barrier and is tried again: not here.
        if self._room.store.strong is not None:
            return None
        if call.operation == "TransactWriteItems":
            made = transact(self._room, call, body, seen)
        else:
            write = WRITES.get(call.operation)
            made = None if write is None else write(self._room, table, body, call.params, seen)
        return None if made is None else Known(made[0], None, made[1])

    def _keeping(self, made: tuple[Match, Reading] | None) -> Known | None:
        """A reading form, its answers kept while the tables' descriptions and their rows stand."""
        if made is None:
            return None
        match, reading = made
        return Known(match, self._kept.keeping(reading, self._room.store.stamp(META)))


def _named(call: Call) -> list[tuple[str, Table]]:
    """The tables of a call as it names them."""
    if type(call.scratch) is list:
        return [(part["TableName"], table) for _, part, table in call.scratch]
    return [(call.params["TableName"], call.scratch)]


def _free(room: Room, params: Any) -> bool:
    """Whether what is here may be told: on one machine a committed read is strong."""
    strong = params.get("ConsistentRead", False)
    return type(strong) is bool and (not strong or room.store.strong is None)


def _get(
    room: Room, table: Table, body: bytes, params: Any, seen: int
) -> tuple[Match, Reading] | None:
    """GetItem of a whole item."""
    key, types = params.get("Key"), dict(table.key_attributes)
    if not params.keys() <= {"TableName", "Key", "ConsistentRead"} or not _free(room, params):
        return None
    if (
        type(key) is not dict
        or key.keys() != types.keys()
        or not set(types.values()) <= MADE.keys()
    ):
        return None
    match = form(body, params, [read_hole(v, types[name]) for name, v in key.items()])
    if match is None:
        return None
    made = [MADE[types[name]] for name in key]
    now, get, prefix = room.tables.now, room.store.get, table.rows_prefix
    at_hash = list(key).index(table.hash_name)
    ranged = bool(table.range_name)

    def where(body: bytes) -> Stretch | None:
        found = match(body)
        if found is None or now() != seen:
            return None
        told = [make(spelt) for make, spelt in zip(made, found.groups(), strict=True)]
        head, tail = told[at_hash], told[1 - at_hash] if ranged else b""
        if head is None or tail is None:
            return None
        return (keys.under(prefix, head, tail),)

    def tell(key: bytes) -> bytes:
        text = get(key)
        return b"{}" if text is None else b'{"Item":%b}' % text

    return match, Reading(where, tell)


def _query(
    quick: QuickQuery, room: Room, table: Table, body: bytes, params: Any, seen: int
) -> tuple[Match, Reading] | None:
    """Query of one partition by its keys alone, texts."""
    asked = quick.asked(table, params)
    if asked is None or not _free(room, params):
        return None
    values = params["ExpressionAttributeValues"]
    names = list(values)
    if set(names) != {asked.hash, *asked.operands}:
        return None
    match = form(body, params, [read_hole(v, "S") for v in values.values()])
    page = quick.page(room, table, params)
    if match is None or page is None:
        return None
    now, prefix, operator, text = room.tables.now, table.rows_prefix, asked.operator, MADE["S"]
    at_hash, at_operands = names.index(asked.hash), [names.index(n) for n in asked.operands]

    def where(body: bytes) -> Stretch | None:
        found = match(body)
        if found is None or now() != seen:
            return None
        told = [made for made in map(text, found.groups()) if made is not None]
        if len(told) < len(names):
            return None
        start = keys.under_partition(prefix, told[at_hash])
        if not operator:
            return start, start[:-1] + b"\x02"
        within = span(start, operator, [told[at] for at in at_operands])
        return within.start, within.end

    return match, Reading(where, page)
