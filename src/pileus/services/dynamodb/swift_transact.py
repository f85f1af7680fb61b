"""TransactWriteItems submitted from its bytes: of the form of one met before (``swift``).

The entry is the one the quick way makes (``quick_transact``): its keys and values are cut out of
the body, the client's token too, whose digest covers what the body asks for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from operator import itemgetter
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, Done
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.forms import TOKEN, Hole, form, hole, key_hole, numbered, stored
from pileus.services.dynamodb.quick_transact import MEMBERS, Part, operations_of
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.swift_writes import Made
from pileus.services.dynamodb.transact_write_items import OPERATIONS_MAX, TOKENS
from pileus.services.dynamodb.values import Item, check_shape
from pileus.state import keys
from pileus.state.keys import under

Told = tuple[bytes, ...]
Operation = Callable[[Told], list[Any]]
Judged = Callable[[Told], tuple[Any, Any]]
TOKEN_MEMBER = "ClientRequestToken"
VALUES = "ExpressionAttributeValues"


def transact(room: Room, call: Call, body: bytes, seen: int) -> Made | None:
    """Any mixture of operations on items by keys of texts."""
    params, parts = call.params, call.scratch
    if not params.keys() <= MEMBERS or not 0 < len(parts) <= OPERATIONS_MAX:
        return None
    again = orjson.loads(body)["TransactItems"]  # the look at it makes numbers canonical
    looked = [(kind, one[kind], table) for one, (kind, _, table) in zip(again, parts, strict=True)]
    if operations_of(looked) is None:
        return None
    holes, token, makers = _holes(params, parts)
    match = form(body, params, holes)
    if match is None:
        return None
    operations = [operation for make in makers if (operation := make()) is not None]
    if len(operations) < len(parts):
        return None
    signed = None if token < 0 else _token(call, token, holes)
    now, submit, several = room.tables.now, room.store.submit_soon, len(parts)

    def write(body: bytes, request_id: bytes, done: Done) -> bool:
        found = match(body)
        if found is None or now() != seen:
            return False
        told = found.groups()
        try:
            asked = [operation(told) for operation in operations]
        except (Fault, AwsError):
            return False
        if len({one[3] for one in asked}) < several:
            return False
        entry = (None if signed is None else signed(told), asked, 0)
        submit("dynamodb.transact", entry, request_id, done)
        return True

    return match, write


def _holes(
    params: Any, parts: list[Part]
) -> tuple[list[Hole | None], int, list[Callable[[], Operation | None]]]:
    """The holes of a transaction in the order of its text, the token's place among them (-1: it
    has none), and what makes its operations once the form is known."""
    holes: list[Hole | None] = []
    token, makers = -1, []
    for member in params:
        if member == TOKEN_MEMBER:
            token = len(holes)
            holes.append(Hole(params, member, TOKEN))
        else:
            makers = [_operation(*part, holes) for part in parts]
    return holes, token, makers


def _operation(
    kind: str, part: dict[str, Any], table: Table, holes: list[Hole | None]
) -> Callable[[], Operation | None]:
    """Adds the holes of one operation to ``holes``."""
    first = len(holes)
    keyed: dict[str, int] = {}
    valued: list[tuple[str, str, int]] = []
    item: Item = {}
    own = slice(first, first)
    for member, content in part.items():
        if member in ("Item", "Key"):
            item, first = content, len(holes)
            for name, value in content.items():
                found = key_hole(value) if name in table.key_names else hole(value)
                if name in table.key_names:
                    keyed[name] = len(holes)
                if found is not None or name in keyed:
                    holes.append(found)
            own = slice(first, len(holes))
        elif member == VALUES:
            for name, value in content.items():
                valued.append((name, *value, len(holes)))
                holes.append(hole(value))
    show = part.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    key, judged = _key(table, keyed), _judged(part, valued)
    if kind == "Put":
        return partial(_put, table, key, judged, show, item, holes, own)
    if kind == "Update":
        return lambda: _update(table, key, judged, show, keyed)
    verb = "delete" if kind == "Delete" else "check"
    return lambda: _other(verb, table, key, judged, show)


def _put(
    table: Table,
    key: Callable[[Told], bytes],
    judged: Judged,
    show: bool,
    item: Item,
    holes: list[Any],
    own: slice,
) -> Operation | None:
    check_shape(item)  # and canonical: what is no hole stays as it is here
    text = stored(item, holes[own])
    if text is None:
        return None
    meta_key, incarnation = table.meta_key, table.id

    def operation(told: Told) -> list[Any]:
        guard = judged(told)[1]
        return ["put", meta_key, incarnation, key(told), text % told[own], guard, show]

    return operation


def _update(
    table: Table, key: Callable[[Told], bytes], judged: Judged, show: bool, keyed: dict[str, int]
) -> Operation:
    meta_key, incarnation = table.meta_key, table.id

    def operation(told: Told) -> list[Any]:
        base = {name: {"S": told[at].decode()} for name, at in keyed.items()}
        spec, guard = judged(told)
        return ["update", meta_key, incarnation, key(told), base, spec, guard, show]

    return operation


def _other(
    verb: str, table: Table, key: Callable[[Told], bytes], judged: Judged, show: bool
) -> Operation:
    meta_key, incarnation = table.meta_key, table.id
    return lambda told: [verb, meta_key, incarnation, key(told), judged(told)[1], show]


def _key(table: Table, keyed: dict[str, int]) -> Callable[[Told], bytes]:
    prefix, at_hash = table.rows_prefix, keyed[table.hash_name]
    if not table.range_name:
        return lambda told: under(prefix, told[at_hash])
    at_range = keyed[table.range_name]
    return lambda told: under(prefix, told[at_hash], told[at_range])


def _judged(part: dict[str, Any], valued: list[tuple[str, str, int]]) -> Judged:
    """The entry's update and guard; raises what is wrong with their values."""
    text, asked = part.get("UpdateExpression"), part.get("ConditionExpression")
    names = part.get("ExpressionAttributeNames")
    if text is None and asked is None:
        return lambda told: (None, None)
    change = None if text is None else compile_update(text, names)
    condition = None if asked is None else compile_condition(asked, names)

    def judged(told: Told) -> tuple[Any, Any]:
        values = {name: {kind: told[at].decode()} for name, kind, at in valued}
        spec = guard = None
        if change is not None:  # it was looked at: values of their kinds fit
            used = values if condition is None else {v: values[v] for v in change.values}
            spec = [0, text, names, used]
        if condition is not None:
            condition.check(values)
            guard = [0, asked, names, {v: values[v] for v in condition.values}]
        return spec, guard

    return judged


def _token(call: Call, at: int, holes: list[Any]) -> Callable[[Told], list[Any]]:
    """See ``transact_write_items.token_of``."""
    text, order = numbered(
        lambda: orjson.dumps(call.params["TransactItems"], option=orjson.OPT_SORT_KEYS), holes
    )
    pick = itemgetter(*order)
    prefix, place = keys.table_prefix(TOKENS), f"{call.account}/{call.region}".encode()

    def token(told: Told) -> list[Any]:
        return [under(prefix, place, told[at]), sha256(text % pick(told)).hexdigest()]

    return token
