"""Scan."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import legacy
from pileus.services.dynamodb.addresses import Span, segment
from pileus.services.dynamodb.expressions.binding import bind, check_mixture
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_listed, check_nested
from pileus.services.dynamodb.query import check_table_part
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
from pileus.services.dynamodb.schema import MISMATCH
from pileus.services.dynamodb.values import Item

EXPRESSIONS = ("ProjectionExpression", "FilterExpression")
LEGACY = ("AttributesToGet", "ScanFilter", "ConditionalOperator")


def scan(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Items of the whole table or index, or of one of its parallel segments."""
    check_mixture(params, EXPRESSIONS, LEGACY)
    if params.get("AttributesToGet") is not None:
        check_listed(params["AttributesToGet"])
    filter_terms = legacy.condition_terms(params.get("ScanFilter"))
    start = params.get("ExclusiveStartKey")
    check_start(start)
    check_select(params)
    number, total = _check_segments(params)
    bound = bind(params)
    table = room.table(call, params["TableName"])
    index = find_index(table, params)
    projection = shown(params, bound)
    reading = Reading(table, index, params, projection, None, False)
    if start is not None:
        _check_start_shape(reading, start)
    reading.whole = needs_items(table, index, params, projection)
    where = segment(reading.rows, number, total)
    if start is not None:
        where = _after(reading, where, start, number, total)
    if bound.projection is not None:
        check_nested(table, bound.projection.nested)
    if bound.filter is not None:
        check_nested(table, bound.filter.nested)
    reading.keep = keeper(bound, filter_terms, params)
    return answer(room, call, reading, where, False)


def _check_segments(params: dict[str, Any]) -> tuple[int, int]:
    number, total = params.get("Segment"), params.get("TotalSegments")
    if total is None:
        if number is not None:
            raise invalid(
                "The TotalSegments parameter is required but was not present in the request when"
                " Segment parameter is present"
            )
        return 0, 1
    if number is None:
        raise invalid(
            "The Segment parameter is required but was not present in the request when parameter"
            " TotalSegments is present"
        )
    if number >= total:
        raise invalid(
            "The Segment parameter is zero-based and must be less than parameter TotalSegments:"
            f" Segment: {number} is not less than TotalSegments: {total}"
        )
    return number, total


def _check_start_shape(reading: Reading, start: Item) -> None:
    if len(start) != len(reading.start_names):
        raise invalid(BAD_START if reading.index else f"{BAD_START}: {MISMATCH}")
    if reading.index is None:
        return
    for name, kind in reading.key_attributes:
        if name not in start:
            raise invalid(BAD_START)
        if kind not in start[name]:
            raise invalid(MISMATCH)


def _after(reading: Reading, where: Span, start: Item, number: int, total: int) -> Span:
    check_table_part(reading.table, start)
    address = reading.address(start)
    if address is None:
        raise invalid(BAD_START)
    if total > 1 and not where.start <= address < where.end:
        raise invalid(
            f"{BAD_START}: Invalid ExclusiveStartKey. Please use ExclusiveStartKey with correct"
            f" Segment. TotalSegments: {total} Segment: {number}"
        )
    return Span(address + b"\x00", where.end)
