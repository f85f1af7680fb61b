"""Writes submitted from their bytes: PutItem and UpdateItem of a form met before (``swift``).

The entry is the one the quick ways make (``put_plain``, ``update_plain``), of writes that answer
nothing when they succeed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from zlib import crc32

from pileus.errors import AwsError
from pileus.services.call import Done
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.forms import Hole, Match, form, hole, key_hole, stored
from pileus.services.dynamodb.quick_update import expressions
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import check_shape
from pileus.state.keys import under

Made = tuple[Match, Callable[[bytes, bytes, Done], bool]]
UPDATES = frozenset(
    {
        *("TableName", "Key", "UpdateExpression", "ConditionExpression"),
        *("ExpressionAttributeNames", "ExpressionAttributeValues"),
    }
)


def put(room: Room, table: Table, body: bytes, params: Any, seen: int) -> Made | None:
    """PutItem without a condition, of an item whose attributes are mostly texts and numbers."""
    item = params.get("Item")
    if len(params) != 2 or type(item) is not dict or table.index_types:
        return None
    if table.plain_key(item, whole=True) is None:
        return None
    match, text, order = _item_form(table, body, params, item)
    if match is None or text is None:
        return None
    now, submit, prefix = room.tables.now, room.store.submit_soon, table.rows_prefix
    meta_key, incarnation = table.meta_key, table.id
    at_hash = order.index(table.hash_name)
    at_range = order.index(table.range_name) if table.range_name else -1

    def write(body: bytes, request_id: bytes, done: Done) -> bool:
        found = match(body)
        if found is None or now() != seen:
            return False
        told = found.groups()
        head = told[at_hash]
        tail = told[at_range] if at_range >= 0 else b""
        spread = (crc32(head) & 0xFFFF).to_bytes(2, "big")  # as keys.under; no text has a zero
        key = b"%b%b%b\x00\x01%b\x00\x01" % (prefix, spread, head, tail)
        entry = (meta_key, incarnation, key, text % told, None, 0)
        submit("dynamodb.put", entry, request_id, done)
        return True

    return match, write


def _item_form(
    table: Table, body: bytes, params: Any, item: dict[str, Any]
) -> tuple[Match | None, bytes | None, list[str]]:
    """The form of a put, the stored text of its items, and the names of its holes in order."""
    holes: list[Hole] = []
    order: list[str] = []
    for name, value in item.items():
        found = key_hole(value) if name in table.key_names else hole(value)
        if found is not None:
            holes.append(found)
            order.append(name)
    match = form(body, params, holes)
    check_shape(item)  # and canonical: what is no hole stays as it is here
    return match, stored(item, holes), order


def update(room: Room, table: Table, body: bytes, params: Any, seen: int) -> Made | None:
    """UpdateItem of one item, perhaps with a condition; its values are texts and numbers."""
    key_item, text = params.get("Key"), params.get("UpdateExpression")
    if type(text) is not str or table.index_types or not params.keys() <= UPDATES:
        return None
    if table.plain_key(key_item) is None or expressions(table, text, params) is None:
        return None
    names, asked = params.get("ExpressionAttributeNames"), params.get("ConditionExpression")
    holes, keyed, valued = _update_holes(params)
    match = form(body, params, holes)
    if match is None:
        return None
    change = compile_update(text, names)
    condition = None if asked is None else compile_condition(asked, names)
    now, submit, prefix = room.tables.now, room.store.submit_soon, table.rows_prefix
    meta_key, incarnation = table.meta_key, table.id
    at_hash = keyed[table.hash_name]
    at_range = keyed[table.range_name] if table.range_name else -1

    def write(body: bytes, request_id: bytes, done: Done) -> bool:
        found = match(body)
        if found is None or now() != seen:
            return False
        told = found.groups()
        key = under(prefix, told[at_hash], told[at_range] if at_range >= 0 else b"")
        texts = list(map(bytes.decode, told))
        base = {name: {"S": texts[at]} for name, at in keyed.items()}
        values = {name: {kind: texts[at]} for name, kind, at in valued}
        guard = None
        try:
            if condition is not None:  # the update was looked at: values of their kinds fit
                condition.check(values)
                guard = [0, asked, names, {v: values[v] for v in condition.values}]
                values = {v: values[v] for v in change.values}
        except (Fault, AwsError):
            return False
        spec = [0, text, names, values]
        entry = (meta_key, incarnation, key, base, spec, guard, "NONE", 0)
        submit("dynamodb.update", entry, request_id, done)
        return True

    return match, write


def _update_holes(
    params: Any,
) -> tuple[list[Hole | None], dict[str, int], list[tuple[str, str, int]]]:
    """The holes of an update in the order of its text, the keys' names and their places among
    them, the values' names, kinds and places."""
    holes: list[Hole | None] = []
    keyed: dict[str, int] = {}
    valued: list[tuple[str, str, int]] = []
    for member, content in params.items():
        if member == "Key":
            for name, value in content.items():
                keyed[name] = len(holes)
                holes.append(key_hole(value))
        elif member == "ExpressionAttributeValues":
            for name, value in content.items():
                valued.append((name, *value, len(holes)))
                holes.append(hole(value))
    return holes, keyed, valued
