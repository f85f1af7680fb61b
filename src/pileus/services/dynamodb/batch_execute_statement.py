"""BatchExecuteStatement."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.batch_write_item import part_id
from pileus.services.dynamodb.execute_statement import carry_out
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.literals import check_parameters
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.select import Selection
from pileus.services.dynamodb.partiql.source import table_of
from pileus.services.dynamodb.partiql.syntax import Exists, Statement
from pileus.services.dynamodb.partiql.writes import Draft, Write
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import Item, Value, item_size

NOT_BY_KEY = (
    "Select statements within BatchExecuteStatement must specify the primary key in the where"
    " clause."
)
CODES = {
    "ValidationException": "ValidationError",
    "ConditionalCheckFailedException": "ConditionalCheckFailed",
    "DuplicateItemException": "DuplicateItem",
    "ResourceNotFoundException": "ResourceNotFound",
    "ProvisionedThroughputExceededException": "ProvisionedThroughputExceeded",
    "ThrottlingException": "ThrottlingError",
    "RequestLimitExceeded": "RequestLimitExceeded",
    "ItemCollectionSizeLimitExceededException": "ItemCollectionSizeLimitExceeded",
    "TransactionConflictException": "TransactionConflict",
}


class Slot:
    """One statement of a batch: its tree or its error, then its answer."""

    def __init__(self, request: dict[str, Any]) -> None:
        self.request = request
        self.parameters: list[Value] = request.get("Parameters") or []
        self.statement: Statement | None = None
        self.error: AwsError | None = None
        self.table_name = ""  # of what was carried out, or failed at that
        self.key = b""
        self.work: Selection | Write | None = None
        self.item: bytes | None = None
        self.capacity: dict[str, Any] | None = None
        try:
            check_parameters(self.parameters)
            self.statement = parse(request["Statement"])
        except AwsError as error:
            self.refuse(error)

    def refuse(self, error: AwsError) -> None:
        """Keep the statement's own error; errors that are no statement's go on."""
        if error.code not in CODES:
            raise error
        self.error = error

    @property
    def shows(self) -> bool:
        return self.request.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"

    def answer(self) -> bytes:
        """The statement's place in Responses."""
        members = []
        if self.error is not None:
            error = {"Code": CODES[self.error.code], "Message": self.error.message}
            if "Item" in self.error.fields:
                error["Item"] = self.error.fields["Item"]
            members.append(member(b"Error", error))
        if self.table_name:
            members.append(member(b"TableName", self.table_name))
        if self.item is not None:
            members.append(b'"Item":' + self.item)
        return assemble(members)


async def batch_execute_statement(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to 25 statements, all reads or all writes, each of another item; each succeeds or fails on
    its own."""
    slots = [Slot(request) for request in params["Statements"]]
    if len({s.statement.reads for s in slots if s.statement is not None}) > 1:
        raise invalid("Read and write requests together in the same batch is not supported.")
    tables = [_prepare(room, call, slot) for slot in slots]
    own_keys = [slot.key for slot in slots if slot.key]
    if len(set(own_keys)) < len(own_keys):
        raise invalid("Provided list of item keys contains duplicates")
    asked = capacity.wanted(params)
    for number, (slot, table) in enumerate(zip(slots, tables, strict=True)):
        if table is None:
            continue
        slot.table_name = table.name
        try:
            if isinstance(slot.work, Write):
                retry_id = part_id(call.invocation_id, number)
                await _write(room, slot, slot.work, asked, retry_id)
            elif slot.work is not None:
                _read(room, slot, slot.work, table, asked)
        except AwsError as error:
            slot.refuse(error)
    members = [b'"Responses":[' + b",".join(s.answer() for s in slots) + b"]"]
    if asked:
        spent = [s.capacity for s in slots if s.capacity is not None]
        members.append(member(b"ConsumedCapacity", spent))
    return respond(call, assemble(members))


def _prepare(room: Room, call: Call, slot: Slot) -> Table | None:
    """Find out what a statement does to which item; None, its error kept, where it cannot be."""
    try:
        if slot.statement is None:
            return None
        if slot.statement.reads:
            return _prepare_read(room, call, slot, slot.statement)
        if isinstance(slot.statement.body, Exists):
            raise invalid("EXISTS can only be used in ExecuteTransaction write requests.")
        draft = Draft(slot.statement, slot.parameters)
        table = table_of(room, call, draft.source)
        write = draft.on(table)
        slot.work, slot.key = write, write.key
        return table
    except AwsError as error:
        slot.refuse(error)
        return None


def _prepare_read(room: Room, call: Call, slot: Slot, statement: Statement) -> Table:
    selection = Selection(statement, slot.parameters)
    table = table_of(room, call, selection.source)
    one = selection.one(table)
    if one is None or len(selection.source.steps) > 1 or selection.select.order:
        if len(selection.source.steps) == 1:
            selection.on(table, False)  # its own faults come first
        raise invalid(NOT_BY_KEY)
    selection.check_nested(table)
    slot.work, slot.key = selection, table.key_of(one.key)
    return table


def _read(room: Room, slot: Slot, selection: Selection, table: Table, asked: str) -> None:
    if table.metered:
        room.throughput.admit_read(table)
    text = room.store.get(slot.key)
    item: Item = orjson.loads(text) if text is not None else {}
    if text is not None:
        columns = selection.columns
        slot.item = text if columns is None else orjson.dumps(columns.apply(item))
    if asked or table.metered:
        consistent = slot.request.get("ConsistentRead") is True
        units = capacity.read_units(item_size(item), consistent)
        room.throughput.charge_read(table, units)
        slot.capacity = capacity.report(table, asked, units)


async def _write(room: Room, slot: Slot, write: Write, asked: str, retry_id: bytes) -> None:
    slot.item, price = await carry_out(room, retry_id, write, slot.shows, bool(asked))
    if asked and price:
        slot.capacity = capacity.report(write.table, asked, price[0], price[1])
