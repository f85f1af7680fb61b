"""The commonest TransactWriteItems: items by keys of texts, in tables without limits or policies.

Two looks: which permissions it needs (``several``), then its entry (``transact_plain``). Both give
exactly what the long way does; whatever is unusual, wrong included, is None here and read there.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.quick import SHOWN
from pileus.services.dynamodb.quick_update import expressions
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.transact_write_items import OPERATIONS_MAX, token_of
from pileus.services.dynamodb.values import NAME_BYTES_MAX, Misshapen, check_shape

MEMBERS = frozenset({"TransactItems", "ClientRequestToken"})
TOKEN_CHARS_MAX = 36
ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
}
PLAIN_PUT = frozenset({"TableName", "Item"})
GUARDED = frozenset(
    {
        *("TableName", "ConditionExpression", "ReturnValuesOnConditionCheckFailure"),
        *("ExpressionAttributeNames", "ExpressionAttributeValues"),
    }
)
OWN = {
    "Put": GUARDED | {"Item"},
    "Update": GUARDED | {"Key", "UpdateExpression"},
    "Delete": GUARDED | {"Key"},
    "ConditionCheck": GUARDED | {"Key"},
}
Part = tuple[str, dict[str, Any], Table]  # kind, the operation's members, its table


def several(room: Room, call: Call) -> set[tuple[str, str]] | None:
    """(action, resource) of every permission a transaction needs, its parts kept in
    ``call.scratch``; None: ask ``access``."""
    if call.operation != "TransactWriteItems" or call.request is None:
        return None
    try:
        call.params = params = orjson.loads(call.request.body)
        parts = [
            (kind, part, room.tables.find(call.account, call.region, part["TableName"]))
            for ((kind, part),) in map(dict.items, params["TransactItems"])
        ]
        found = {table.single[ACTIONS[kind]] for kind, _, table in parts}  # type: ignore[union-attr]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # the exact reader says what is wrong
    call.scratch = parts
    return found


def transact_plain(room: Room, call: Call, params: dict[str, Any]) -> Submission | None:
    """The transaction's entry on its way, or None: read it exactly."""
    parts: Any = call.scratch
    if type(parts) is not list or not 0 < len(parts) <= OPERATIONS_MAX:
        return None
    if call.request is None or len(call.request.body) > NAME_BYTES_MAX:
        return None  # no item or name is larger than its text, nor all of them together
    token = params.get("ClientRequestToken", "none")
    if not params.keys() <= MEMBERS or type(token) is not str:
        return None
    if not 0 < len(token) <= TOKEN_CHARS_MAX:
        return None
    operations = operations_of(parts)
    if operations is None:
        return None
    entry = (token_of(room, call, params, params["TransactItems"], operations), operations, 0)
    return submission(room, call, "dynamodb.transact", entry, partial(_done, call))


def operations_of(parts: list[Part]) -> list[list[Any]] | None:
    """The entry's operations, of items that differ; None: read them exactly."""
    try:
        found = [_operation(*part) for part in parts]
    except (AwsError, Misshapen):
        return None
    operations = [operation for operation in found if operation is not None]
    different = len({operation[3] for operation in operations}) == len(parts)
    return operations if different else None


def _done(call: Call, result: Any) -> HttpResponse:
    return respond(call, b"{}")


def _operation(kind: str, part: dict[str, Any], table: Table) -> list[Any] | None:
    """One operation of the entry; see ``transacting``."""
    if table.metered or not table.active or type(part) is not dict:
        return None
    item = part.get("Item")
    if part.keys() == PLAIN_PUT and kind == "Put":
        guard, show, spec = None, False, None
    else:
        asked, text = part.get("ConditionExpression"), part.get("UpdateExpression")
        show = part.get("ReturnValuesOnConditionCheckFailure", "NONE")
        if not part.keys() <= OWN[kind] or type(show) is not str or show not in SHOWN:
            return None
        if (kind == "Update" and text is None) or (kind == "ConditionCheck" and asked is None):
            return None
        found = expressions(table, text, part)
        if found is None:
            return None
        (spec, guard), show = found, show == "ALL_OLD"
    if kind != "Put":
        key = table.plain_key(part.get("Key"))
    elif type(item) is dict and not table.index_types:
        check_shape(item)
        key = table.plain_key(item, whole=True)
    else:
        key = None
    if key is None:
        return None
    if kind == "Put":
        return ["put", table.meta_key, table.id, key, orjson.dumps(item), guard, show]
    if kind == "Update":
        return ["update", table.meta_key, table.id, key, part["Key"], spec, guard, show]
    return [
        *("delete" if kind == "Delete" else "check", table.meta_key, table.id, key),
        *(guard, show),
    ]
