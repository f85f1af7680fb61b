"""Query."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import legacy
from pileus.services.dynamodb.addresses import Span
from pileus.services.dynamodb.expressions.binding import Bound, bind, check_mixture
from pileus.services.dynamodb.faults import detected, invalid
from pileus.services.dynamodb.get_item import check_listed, check_nested
from pileus.services.dynamodb.keyconditions import KeyQuery, expression_terms
from pileus.services.dynamodb.reading import (
    BAD_START,
    Reading,
    answer,
    check_select,
    check_start,
    find_index,
    keeper,
    needs_items,
    shown,
)
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Item

EXPRESSIONS = ("ProjectionExpression", "FilterExpression", "KeyConditionExpression")
PLAIN = frozenset(
    {
        *("TableName", "KeyConditionExpression", "ExpressionAttributeNames"),
        *("ExpressionAttributeValues", "ScanIndexForward", "ConsistentRead", "Limit"),
    }
)
LEGACY = ("AttributesToGet", "QueryFilter", "ConditionalOperator", "KeyConditions")


def query(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Items of one partition, in the order of the range key."""
    if params.keys() <= PLAIN and "KeyConditionExpression" in params:
        return _plain(room, call, params)
    bound, key_terms, filter_terms = _check(params)
    table = room.table(call, params["TableName"])
    index = find_index(table, params)
    asked = KeyQuery(table, index, key_terms)
    start = params.get("ExclusiveStartKey")
    projection = shown(params, bound)
    reading = Reading(table, index, params, projection, None, False)
    reading.single = _is_single(table, index)
    if start is not None and len(start) != len(reading.start_names):
        raise invalid(BAD_START)
    asked.check(start)
    where = asked.span()
    reverse = params.get("ScanIndexForward") is False
    if start is not None:
        where = _after(reading, asked, where, start, reverse)
        if reading.single:
            raise invalid(f"{BAD_START}: ExclusiveStartKey: {_told(start)}")
    if bound.projection is not None:
        check_nested(table, bound.projection.nested)
    check_filter_keys(asked, bound, params)
    reading.whole = needs_items(table, index, params, projection)
    if bound.filter is not None:
        check_nested(table, bound.filter.nested)
    reading.keep = keeper(bound, filter_terms, params)
    return answer(room, call, reading, where, reverse)


def _plain(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Nothing but a key condition: the same checks in the same order, without those of what is
    not there."""
    bound = bind(params)
    assert bound.key is not None
    key_terms = expression_terms(bound.key, bound.values)
    legacy.check_terms(key_terms)
    if not 1 <= len(key_terms) <= 2:
        raise invalid("Conditions can be of length 1 or 2 only")
    table = room.table(call, params["TableName"])
    asked = KeyQuery(table, None, key_terms)
    asked.check(None)
    reading = Reading(table, None, params, None, None, False, _is_single(table, None))
    return answer(room, call, reading, asked.span(), params.get("ScanIndexForward") is False)


def _is_single(table: Table, index: Index | None) -> bool:
    """Without a range key a partition of the table is one item."""
    return index is None and not table.range_name


def _told(start: Item) -> str:
    """A starting key as the service prints it."""
    shown = (
        f"{n}=AttributeValue: {{{k}:{v}}}" for n, value in start.items() for k, v in value.items()
    )
    return f"{{{', '.join(shown)}}}"


def _check(params: dict[str, Any]) -> tuple[Bound, list[legacy.Term], list[legacy.Term]]:
    """Everything that can be judged without the table, in the service's order."""
    check_mixture(params, EXPRESSIONS, LEGACY)
    filter_terms = legacy.condition_terms(params.get("QueryFilter"))
    if params.get("AttributesToGet") is not None:
        check_listed(params["AttributesToGet"])
    check_start(params.get("ExclusiveStartKey"))
    with detected():
        check_select(params)
    old = params.get("KeyConditions")
    if old is None and "KeyConditionExpression" not in params:
        raise invalid(
            "Either the KeyConditions or KeyConditionExpression parameter must be specified in"
            " the request."
        )
    bound = bind(params)
    if bound.key is not None:
        key_terms = expression_terms(bound.key, bound.values)
        legacy.check_terms(key_terms)
    else:
        key_terms = legacy.condition_terms(old)
    if not 1 <= len(key_terms) <= 2 and "IndexName" not in params:
        raise invalid("Conditions can be of length 1 or 2 only")
    if not key_terms:
        raise invalid("Conditions can be of length 1 or 2 only")
    return bound, key_terms, filter_terms


def _after(reading: Reading, asked: KeyQuery, where: Span, start: Item, reverse: bool) -> Span:
    """The rest of the span beyond the starting key, which must lie within it."""
    table = reading.table
    check_table_part(table, start)
    _check_within(asked, start)
    address = reading.address(start)
    if address is None:
        raise invalid(BAD_START)
    if reverse:
        return Span(where.start, min(where.end, address))
    return Span(max(where.start, address + b"\x00"), where.end)


def check_table_part(table: Table, start: Item) -> None:
    """The table's own keys within a starting key."""
    try:
        table.key_of({n: start[n] for n in table.key_names if n in start})
    except AwsError as error:
        raise invalid(f"{BAD_START}: {error.message}") from None


def _check_within(asked: KeyQuery, start: Item) -> None:
    ranged = [n for n, _ in asked.range if n in asked.terms]
    for name in ranged:
        operator, operands = asked.terms[name]
        if not legacy.passes([[name, operator, operands]], "AND", start):
            raise invalid("The provided starting key does not match the range key predicate")
    for name, _ in asked.hash:
        if start[name] != asked.terms[name][1][0]:
            raise invalid(
                "The query can return at most one row and cannot be restarted"
                if ranged
                else "The provided starting key is outside query boundaries based on provided"
                " conditions"
            )


def check_filter_keys(asked: KeyQuery, bound: Bound, params: dict[str, Any]) -> None:
    """A query's filter is for attributes that are no keys of what it reads."""
    if bound.filter is not None:
        heads, which = bound.filter.heads, "Filter Expression"
    else:
        heads, which = frozenset(params.get("QueryFilter") or ()), "QueryFilter"
    for name, _ in asked.hash + asked.range:
        if name in heads:
            raise invalid(
                f"{which} can only contain non-primary key attributes: Primary key attribute:"
                f" {name}"
            )
