"""DeleteItem."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, HttpResponse, Submission
from pileus.services.dynamodb.answers import respond
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.expressions.binding import check_mixture
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.put_item import check_returns, flags_of, guard_of
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.values import check_item
from pileus.services.dynamodb.write_answer import write_answer


def delete_item(room: Room, call: Call, params: dict[str, Any]) -> Submission:
    """Remove an item if the condition holds; removing nothing succeeds."""
    check_mixture(params, ("ConditionExpression",), ("Expected",))
    key_item = params["Key"]
    check_item(key_item)
    check_returns(params)
    guard, bound = guard_of(params)
    flags = flags_of(params)
    table = room.table(call, params["TableName"])
    key = table.key_of(key_item)
    check_nested(table, bound.condition.nested if bound.condition else frozenset())
    entry = [table.meta_key, table.id, key, guard, flags]

    def finish(result: Any) -> HttpResponse:
        if result is None and len(params) == 2:
            return respond(call, b"{}")
        return write_answer(room, call, table, params, key_item, result)

    meter = room.throughput.meter(table, key, None) if table.metered else None
    return submission(room, call, "dynamodb.delete", entry, finish, meter)
