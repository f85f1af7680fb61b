"""An update that only takes away leaves an item that is not there absent.

API reference, UpdateItem, ``AttributeUpdates``: where no item has the key, DELETE causes nothing to
happen. REMOVE and DELETE of an update expression do the same, whatever their paths. The rule
itself makes an item of the key for any update, and what a rule means cannot change for entries
already in the log. So such an update is sent with one more condition, that the item is there; where
that alone fails, nothing was to be done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb.applying import passes
from pileus.services.dynamodb.binding import submission
from pileus.services.dynamodb.expressions.binding import Bound
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import METER, PRICE, SHOW
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.throughput import Meter

ALIAS = "#"
LEAST: list[Any] = [None, [1.0, {}]]


def takes_only(bound: Bound, actions: list[list[Any]]) -> bool:
    """Does an update remove and delete, and nothing else?"""
    if bound.update is not None:
        return bound.update.takes_only
    return bool(actions) and all(action == "DELETE" for _, action, _ in actions)


def if_there(table: Table, guard: list[Any] | None) -> list[Any] | None:
    """``guard``, and that the item is there; None where the two cannot be said as one."""
    if guard is not None and guard[0] == 1:
        terms = [*guard[1], [table.hash_name, "NOT_NULL", []]]
        return [1, terms, "AND"] if guard[2] == "AND" or len(terms) == 2 else None
    text, names, values = guard[1:] if guard is not None else ("", None, {})
    alias = ALIAS + "k" * (1 + max((len(n) for n in names or ()), default=0))
    names = {**(names or {}), alias: table.hash_name}
    there = f"attribute_exists({alias})"
    if text:
        # Parentheses around a whole text may be one pair too many: the second part is no group.
        there = f"{there} AND ({text} OR attribute_not_exists({alias}))"
    try:
        compile_condition(there, names)
    except Fault:  # it is longer than an expression may be
        return None
    return [0, there, names, values]


async def take_away(
    room: Room,
    call: Call,
    entry: Sequence[Any],
    there: list[Any],
    finish: Callable[[Any], HttpResponse],
    meter: Meter | None,
) -> HttpResponse:
    """Submit the update's ``entry`` with the guard ``there`` in the place of its own."""
    *head, guard, returns, flags = entry
    try:
        entry = [*head, there, returns, flags | SHOW]
        return await submission(room, call, "dynamodb.update", entry, finish, meter)
    except AwsError as error:
        if error.code != "ConditionalCheckFailedException":
            raise
        present = "Item" in error.fields
        if not flags & SHOW:
            error.fields.pop("Item", None)
        if present or (guard is not None and not passes(guard, {})):
            raise
    return finish(LEAST if flags & (PRICE | METER) else None)
