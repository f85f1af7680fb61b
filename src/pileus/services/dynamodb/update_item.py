"""UpdateItem."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb import legacy
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.expressions.binding import Bound, check_mixture
from pileus.services.dynamodb.expressions.updates import Update
from pileus.services.dynamodb.faults import bad_parameter
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.put_item import flags_of, guard_of
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import OLD
from pileus.services.dynamodb.schema import Table, check_index_key, no_empty_update, too_long
from pileus.services.dynamodb.values import Value, check_item, type_of
from pileus.services.dynamodb.write_answer import write_answer

EXPRESSIONS = ("UpdateExpression", "ConditionExpression")
LEGACY = ("AttributeUpdates", "Expected")


def update_item(room: Room, call: Call, params: dict[str, Any]) -> Submission:
    """Change an item's attributes, or create it, if the condition holds."""
    check_mixture(params, EXPRESSIONS, LEGACY)
    key_item = params["Key"]
    check_item(key_item)
    actions = legacy.update_actions(params.get("AttributeUpdates") or {})
    guard, bound = guard_of(params)
    table = room.table(call, params["TableName"])
    key = table.key_of(key_item)
    spec = spec_of(params, bound, actions)
    if spec is not None:
        check_targets(table, bound.update, bound.values, actions)
    check_nested(table, nested_of(bound))
    returns = params.get("ReturnValues", "NONE")
    flags = flags_of(params) & ~OLD
    entry = [table.meta_key, table.id, key, key_item, spec, guard, returns, flags]

    def finish(result: Any) -> HttpResponse:
        if result is None and "ReturnItemCollectionMetrics" not in params:
            return respond(call, b"{}")
        return write_answer(room, call, table, params, key_item, result)

    meter = None
    if table.metered:
        heads = bound.update.heads if bound.update else {a[0] for a in actions}
        meter = room.throughput.meter(table, key, key_item, heads)
    return submission(room, call, "dynamodb.update", entry, finish, meter)


def spec_of(params: dict[str, Any], bound: Bound, actions: list[list[Any]]) -> list[Any] | None:
    """The entry's update."""
    if bound.update is not None:
        values = {v: bound.values[v] for v in bound.update.values}
        return [0, params["UpdateExpression"], bound.names, values]
    return [1, actions] if actions else None


def nested_of(bound: Bound) -> frozenset[str]:
    """Heads of nested paths in the update and the condition."""
    nested = bound.update.nested if bound.update else frozenset()
    return nested | bound.condition.nested if bound.condition else nested


def check_targets(
    table: Table,
    update: Update | None,
    values: dict[str, Value],
    actions: list[list[Any]],
) -> None:
    """Keys cannot be updated; index keys keep their type, are not empty and not too long, where the
    request alone tells. What it does not tell is for the rule to see (``applying``)."""
    heads = update.heads if update else {a[0] for a in actions}
    for name in table.key_names:
        if name in heads:
            raise bad_parameter(
                f"Cannot update attribute {name}. This attribute is part of the key"
            )
    for name, kind, index in table.index_types:
        if name not in heads:
            continue
        found, value = _target(name, update, values, actions)
        if found and found != kind:
            raise bad_parameter(
                f"Type mismatch for Index Key {name} Expected: {kind} Actual: {found}"
                f" IndexName: {index}"
            )
        if value is None:
            continue
        if update is None:
            check_index_key(name, kind, index, value)
        else:
            no_empty_update(kind, value)
        text = too_long(table.by_name[index], {name: value})
        if text:
            raise bad_parameter(text)


def _target(
    name: str, update: Update | None, values: dict[str, Value], actions: list[list[Any]]
) -> tuple[str, Value | None]:
    """The type that an attribute will have, and its value; "" and None where they depend on the
    item."""
    literal = None
    if update is None:
        literal = next((a[2] for a in actions if a[0] == name), None)
    for step in update.steps if update is not None else ():
        if step.path == (name,):
            if not step.literal:
                return step.result, None
            literal = values[step.literal]
    return (type_of(literal), literal) if literal else ("", None)
