"""ExecuteStatement."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.literals import check_parameters
from pileus.services.dynamodb.partiql.pages import place_of, request_digest, token_of
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.select import Selection
from pileus.services.dynamodb.partiql.source import table_of
from pileus.services.dynamodb.partiql.syntax import Exists, Statement
from pileus.services.dynamodb.partiql.writes import Draft, Write, duplicate
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import METER, PRICE
from pileus.services.dynamodb.values import Value

NESTED = "Nesting Levels have exceeded supported limits"


async def execute_statement(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """One read, or one write of one item."""
    parameters = params.get("Parameters") or []
    check_parameters(parameters)
    statement = parse(params["Statement"])
    if statement.reads:
        return _select(room, call, params, statement, parameters)
    if isinstance(statement.body, Exists):
        raise invalid("EXISTS can only be used in ExecuteTransaction write requests.")
    draft = Draft(statement, parameters)
    write = draft.on(table_of(room, call, draft.source))
    asked = capacity.wanted(params)
    show = params.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    item, price = await carry_out(room, call.invocation_id, write, show, bool(asked))
    members = [b'"Items":[' + (item or b"") + b"]"]
    if asked and price:
        report = capacity.report(write.table, asked, price[0], price[1])
        members.append(member(b"ConsumedCapacity", report))
    return respond(call, assemble(members))


async def carry_out(
    room: Room, retry_id: bytes, write: Write, show: bool, priced: bool
) -> tuple[bytes | None, list[Any] | None]:
    """Submit a write: the text of what it returns (None: nothing) and its price."""
    meter = write.meter(room.throughput)
    rule, entry = write.entry(show, (PRICE if priced else 0) | (METER if meter else 0))
    try:
        result = await room.store.submit(rule, entry, retry_id)
    except AwsError as error:
        if meter is not None:
            meter.charge_failed(error)
        if write.insert and error.code == "ConditionalCheckFailedException":
            raise duplicate() from None
        if error.message.startswith(NESTED):
            raise invalid(NESTED) from None
        raise
    item, price = result or (None, None)
    if meter is not None:
        meter.charge(price)
    return (None if item == b"{}" else item), price


def _select(
    room: Room, call: Call, params: dict[str, Any], statement: Statement, parameters: list[Value]
) -> HttpResponse:
    selection = Selection(statement, parameters)
    table = table_of(room, call, selection.source)
    plan = selection.on(table, params.get("ConsistentRead") is True)
    digest = request_digest(table, params["Statement"], parameters)
    token = params.get("NextToken")
    place = place_of(token, digest, plan) if token is not None else None
    asked = capacity.wanted(params)
    page = plan.read(room, params.get("Limit") or 0, bool(asked), place)
    members = [b'"Items":[' + b",".join(page.texts) + b"]"]
    if page.last is not None:
        members.append(b'"LastEvaluatedKey":' + orjson.dumps(page.last))
        members.append(member(b"NextToken", token_of(digest, page)))
    if asked:
        members.append(member(b"ConsumedCapacity", plan.price(asked, page)))
    return respond(call, assemble(members))
