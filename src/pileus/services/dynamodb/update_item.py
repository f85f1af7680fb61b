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
from pileus.services.dynamodb.schema import Table
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
    """Keys cannot be updated; index keys keep their type, where the request alone tells."""
    heads = update.heads if update else {a[0] for a in actions}
    for name in table.key_names:
        if name in heads:
            raise bad_parameter(
                f"Cannot update attribute {name}. This attribute is part of the key"
            )
    for name, kind, index in table.index_types:
        if name not in heads:
            continue
        found = _target_type(name, update, values, actions)
        if found and found != kind:
            raise bad_parameter(
                f"Type mismatch for Index Key {name} Expected: {kind} Actual: {found}"
                f" IndexName: {index}"
            )


def _target_type(
    name: str, update: Update | None, values: dict[str, Value], actions: list[list[Any]]
) -> str:
    if update is None:
        value = next((a[2] for a in actions if a[0] == name), None)
        return type_of(value) if value else ""
    for step in update.steps:
        if step.path == (name,):
            return type_of(values[step.literal]) if step.literal else step.result
    return ""
