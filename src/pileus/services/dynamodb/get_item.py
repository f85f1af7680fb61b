"""GetItem."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.expressions.binding import bind, check_mixture
from pileus.services.dynamodb.expressions.projections import Projection, named
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import check_item, check_name, item_size


def get_plain(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse | None:
    """A whole item by a key of texts, its stored text spliced into the body."""
    if len(params) != 2 and (len(params) != 3 or type(params.get("ConsistentRead")) is not bool):
        return None
    key = call.scratch.plain_key(params.get("Key"))
    if key is None:
        return None
    text = room.store.get(key)
    if call.scratch.metered:
        _charge(room, call.scratch, text, params)
    return respond(call, b"{}" if text is None else b'{"Item":' + text + b"}")


def get_item(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Answer one item, or what the projection shows of it."""
    projection = check_projection(params, check_key=True)
    table = room.table(call, params["TableName"])
    key = table.key_of(params["Key"])
    check_nested(table, projection.nested if projection else frozenset())
    text = room.store.get(key)
    if table.metered:
        _charge(room, table, text, params)
    members = []
    if text is not None:
        item = orjson.loads(text)
        shown = text if projection is None else orjson.dumps(projection.apply(item))
        members.append(b'"Item":' + shown)
    asked = capacity.wanted(params)
    if asked:
        size = 0 if text is None else item_size(item)
        units = capacity.read_units(size, params.get("ConsistentRead") is True)
        members.append(member(b"ConsumedCapacity", capacity.report(table, asked, units)))
    return respond(call, assemble(members))


def _charge(room: Room, table: Table, text: bytes | None, params: dict[str, Any]) -> None:
    """Take the read's units; ``AwsError`` when there are none."""
    room.throughput.admit_read(table)
    consistent = params.get("ConsistentRead") is True
    room.throughput.charge_read(table, capacity.text_units(text, consistent))


def check_projection(params: dict[str, Any], check_key: bool = False) -> Projection | None:
    """The projection of a get, in either form, checked in the service's order."""
    check_mixture(params, ("ProjectionExpression",), ("AttributesToGet",))
    if check_key:
        check_item(params["Key"])
    listed = params.get("AttributesToGet")
    if listed is not None:
        check_listed(listed)
        return named(listed)
    return bind(params).projection


def check_listed(attributes: list[str]) -> None:
    """``AttributesToGet`` must not repeat a name."""
    seen: set[str] = set()
    for name in attributes:
        check_name(name)
        if name in seen:
            raise bad_parameter(f"Duplicate value in attribute name: {name}")
        seen.add(name)


def check_nested(table: Table, nested: frozenset[str]) -> None:
    """Key attributes are scalars: no path may go into one."""
    if not nested:
        return
    text = "Key attributes must be scalars; list random access '[]' and map lookup '.' are not"
    for name in table.key_names:
        if name in nested:
            raise invalid(f"{text} allowed: Key: {name}")
    for name, _, _ in table.index_types:
        if name in nested:
            raise invalid(f"{text} allowed: IndexKey: {name}")
