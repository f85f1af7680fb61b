"""PutItem."""

from __future__ import annotations

from functools import partial
from typing import Any

import orjson

from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb import legacy
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.expressions.binding import Bound, bind, check_mixture
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import OLD, PRICE, SHOW
from pileus.services.dynamodb.values import (
    ITEM_BYTES_MAX,
    NAME_BYTES_MAX,
    check_item,
    check_shape,
)
from pileus.services.dynamodb.write_answer import write_answer

PLAIN = frozenset({"TableName", "Item"})


def put_item(room: Room, call: Call, params: dict[str, Any]) -> Submission:
    """Store an item, replacing one of the same key if the condition holds."""
    item = params["Item"]
    guard, flags = None, 0
    if params.keys() <= PLAIN:
        if check_item(item) > ITEM_BYTES_MAX:
            raise invalid("Item size has exceeded the maximum allowed size")
        table = room.table(call, params["TableName"])
    else:
        guard, bound = _check(params, item)
        flags = flags_of(params)
        table = room.table(call, params["TableName"])
    key = table.item_key(item)
    if guard is not None and guard[0] == 0:
        check_nested(table, bound.condition.nested if bound.condition else frozenset())
    entry = [table.meta_key, table.id, key, orjson.dumps(item), guard, flags]

    def finish(result: Any) -> HttpResponse:
        if result is None and "ReturnItemCollectionMetrics" not in params:
            return respond(call, b"{}")
        return write_answer(room, call, table, params, item, result)

    meter = room.throughput.meter(table, key, item) if table.metered else None
    return submission(room, call, "dynamodb.put", entry, finish, meter)


def put_plain(room: Room, call: Call, params: dict[str, Any]) -> Submission | None:
    """Store an item whose keys are texts, unconditionally, in a table without indexes."""
    table, item = call.scratch, params.get("Item")
    if len(params) != 2 or type(item) is not dict or table.index_types:
        return None
    if call.request is None or len(call.request.body) > NAME_BYTES_MAX:
        return None  # an item, or a name in it, is never larger than its text
    check_shape(item)
    key = table.plain_key(item, whole=True)
    if key is None:
        return None
    entry = (table.meta_key, table.id, key, orjson.dumps(item), None, 0)
    return submission(room, call, "dynamodb.put", entry, partial(_stored, call))


def _stored(call: Call, result: Any) -> HttpResponse:
    return respond(call, b"{}")


def _check(params: dict[str, Any], item: dict[str, Any]) -> tuple[Any, Bound]:
    check_mixture(params, ("ConditionExpression",), ("Expected",))
    size = check_item(item)
    check_returns(params)
    if size > ITEM_BYTES_MAX:
        raise invalid("Item size has exceeded the maximum allowed size")
    return guard_of(params)


def check_returns(params: dict[str, Any]) -> None:
    """Put and delete know only the old item."""
    if params.get("ReturnValues", "NONE") not in ("ALL_OLD", "NONE"):
        raise invalid("ReturnValues can only be ALL_OLD or NONE")


def guard_of(params: dict[str, Any]) -> tuple[Any, Bound]:
    """The entry's guard and the compiled expressions of a write."""
    terms = legacy.expected_terms(params.get("Expected"))
    operator = params.get("ConditionalOperator")
    if operator and not params.get("Expected"):
        raise invalid(
            "ConditionalOperator cannot be used without Filter or Expected"
            if "ConditionExpression" not in params
            else "Can not use both expression and non-expression parameters in the same request:"
            " Non-expression parameters: {ConditionalOperator} Expression parameters:"
            " {ConditionExpression}"
        )
    bound = bind(params)
    if terms:
        return [1, terms, operator or "AND"], bound
    if bound.condition is not None:
        values = {v: bound.values[v] for v in bound.condition.values}
        return [0, params["ConditionExpression"], bound.names, values], bound
    return None, bound


def flags_of(params: dict[str, Any]) -> int:
    """What the rule is to answer."""
    flags = 0
    if params.get("ReturnValues") == "ALL_OLD":
        flags |= OLD
    if params.get("ReturnConsumedCapacity", "NONE") != "NONE":
        flags |= PRICE
    if params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD":
        flags |= SHOW
    return flags
