"""The commonest UpdateItem: one item by a key of texts, an update and perhaps a condition.

The expressions are compiled once per text (the compilers keep them); a request costs its values.
Whatever is unusual, wrong included, is None here and read exactly.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.update_item import check_targets
from pileus.services.dynamodb.values import NAME_BYTES_MAX, Item, Misshapen, Value, check
from pileus.services.dynamodb.write_answer import write_answer

MEMBERS = frozenset(
    {
        *("TableName", "Key", "UpdateExpression", "ConditionExpression", "ReturnValues"),
        *("ExpressionAttributeNames", "ExpressionAttributeValues"),
    }
)
RETURNS = frozenset({"NONE", "ALL_NEW", "ALL_OLD", "UPDATED_NEW", "UPDATED_OLD"})
NO_VALUES: dict[str, Value] = {}
NOTHING: frozenset[str] = frozenset()


def update_plain(room: Room, call: Call, params: dict[str, Any]) -> Submission | None:
    """The update's entry on its way, or None: read it exactly."""
    table: Table = call.scratch
    key_item: Any = params.get("Key")
    text = params.get("UpdateExpression")
    returns = params.get("ReturnValues", "NONE")
    if type(text) is not str or type(returns) is not str or returns not in RETURNS:
        return None
    if not params.keys() <= MEMBERS:
        return None
    if call.request is None or len(call.request.body) > NAME_BYTES_MAX:
        return None  # names and values may be too large only in a larger text
    key = table.plain_key(key_item)
    found = None if key is None else expressions(table, text, params)
    if found is None:
        return None
    spec, guard = found
    entry = (table.meta_key, table.id, key, key_item, spec, guard, returns, 0)
    finish = partial(_updated, room, call, table, key_item)
    return submission(room, call, "dynamodb.update", entry, finish)


def _updated(room: Room, call: Call, table: Table, key_item: Item, result: Any) -> HttpResponse:
    if result is None:
        return respond(call, b"{}")
    return write_answer(room, call, table, call.params, key_item, result)


def expressions(
    table: Table, text: str | None, params: dict[str, Any]
) -> tuple[list[Any] | None, list[Any] | None] | None:
    """The entry's update and guard (None each where there is none), or None: read it exactly."""
    names = params.get("ExpressionAttributeNames")
    values = params.get("ExpressionAttributeValues", NO_VALUES)
    asked = params.get("ConditionExpression")
    if type(values) is not dict or (asked is not None and type(asked) is not str):
        return None
    if names is not None and not _are_names(names):
        return None
    if (not values and values is not NO_VALUES) or (text is not None and type(text) is not str):
        return None
    spec = guard = None
    needed: frozenset[str] = NOTHING
    used: frozenset[str] = NOTHING
    try:
        for value in values.values():
            check(value)
        if text is not None:
            update = compile_update(text, names)
            needed, used = update.value_set, update.names
            if update.nested:
                return None
            update.check(values)
            check_targets(table, update, values, [])
            spec = [0, text, names, values]
        if asked is not None:
            condition = compile_condition(asked, names)
            if condition.nested:
                return None
            condition.check(values)
            needed, used = needed | condition.values, used | condition.names
            guard = [0, asked, names, {v: values[v] for v in condition.values}]
            if spec is not None:
                spec[3] = {v: values[v] for v in update.values}
    except (Fault, AwsError, Misshapen, KeyError):
        return None
    if values.keys() != needed or (names is not None and names.keys() != used):
        return None
    return spec, guard


def _are_names(names: Any) -> bool:
    return type(names) is dict and bool(names) and all(type(n) is str and n for n in names.values())
