"""ExecuteTransaction."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.execute_statement import NESTED
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.literals import check_parameters
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.select import Selection
from pileus.services.dynamodb.partiql.source import table_of
from pileus.services.dynamodb.partiql.syntax import Statement
from pileus.services.dynamodb.partiql.writes import Draft, Write, duplicate
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import MISMATCH, Table
from pileus.services.dynamodb.transact_get_items import admit as admit_reads
from pileus.services.dynamodb.transact_get_items import snapshot
from pileus.services.dynamodb.transact_write_items import READ_PER_WRITE, admit, charge, token_of
from pileus.services.dynamodb.transacting import canceled, check_payload
from pileus.services.dynamodb.values import Item, Value, item_size

NONE = {"Code": "None"}
NOT_BY_KEY = (
    "Select statements within ExecuteTransaction must specify the primary key in the where clause."
)
TWICE = "Transaction request cannot include multiple operations on one item"
# Faults that cancel the transaction with a reason; others refuse the request.
REASONS = (
    MISMATCH,
    "One or more parameter values",
    "Multiple conditions on same key",
    "Where clause does not contain",
)
Parsed = tuple[Statement, list[Value]]


async def execute_transaction(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to a hundred statements, all reads or all writes, at one moment, all or nothing."""
    parsed = _parse(params["TransactStatements"])
    if parsed[0][0].reads:
        return _read(room, call, parsed, capacity.wanted(params))
    return await _write(room, call, params, parsed)


def _parse(requests: list[dict[str, Any]]) -> list[Parsed]:
    for request in requests:
        check_parameters(request.get("Parameters") or [])
    parsed = []
    for number, request in enumerate(requests):
        with _named(number):
            parsed.append((parse(request["Statement"]), request.get("Parameters") or []))
    if len({statement.reads for statement, _ in parsed}) > 1:
        raise invalid(
            "ExecuteTransaction API does not support both read and write operations in the same"
            " request."
        )
    return parsed


@contextmanager
def _named(number: int) -> Iterator[None]:
    """A fault within names the statement it is of."""
    try:
        yield
    except AwsError as error:
        if error.code != "ValidationException":
            raise
        raise invalid(f"Validation failed in TransactStatements[{number}]: {error.message}") from (
            None
        )


class Reasons:
    """Why a transaction cannot be, statement by statement."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def none(self) -> None:
        self.all.append(NONE)

    def add(self, code: str, message: str) -> None:
        self.all.append({"Code": code, "Message": message})

    def check(self) -> None:
        """TransactionCanceledException unless there is none."""
        if any(r is not NONE for r in self.all):
            raise canceled(self.all)


def _table(room: Room, call: Call, draft: Draft | Selection, reasons: Reasons) -> Table | None:
    try:
        return table_of(room, call, draft.source)
    except AwsError as error:
        reasons.add("ResourceNotFound", error.message)
        return None


# -- reads ----------------------------------------------------------------------------------------


def _read(room: Room, call: Call, parsed: list[Parsed], asked: str) -> HttpResponse:
    reasons = Reasons()
    wanted: list[tuple[Table, bytes, Selection]] = []
    for number, (statement, parameters) in enumerate(parsed):
        with _named(number):
            selection = Selection(statement, parameters)
            table = _table(room, call, selection, reasons)
            if table is None:
                continue
            key = _key_read(selection, table)
            selection.check_nested(table)
        try:
            wanted.append((table, table.key_of(key), selection))
            reasons.none()
        except AwsError as error:
            reasons.add("ValidationError", error.message)
    reasons.check()
    row_keys = [key for _, key, _ in wanted]
    if len(set(row_keys)) < len(row_keys):
        raise invalid(TWICE)
    admit_reads(room, [table for table, _, _ in wanted])
    responses, prices = [], []
    for text, (table, _, selection) in zip(snapshot(room, row_keys), wanted, strict=True):
        item: Item = orjson.loads(text) if text is not None else {}
        shown = text
        if text is not None and selection.columns is not None:
            shown = orjson.dumps(selection.columns.apply(item))
        responses.append(b"{}" if shown is None else b'{"Item":' + shown + b"}")
        if asked or table.metered:
            units = 2 * capacity.read_units(item_size(item), True)
            room.throughput.charge_read(table, units)
            prices.append(capacity.report(table, asked, units, transaction="Read"))
    members = [b'"Responses":[' + b",".join(responses) + b"]"]
    if asked:
        members.append(member(b"ConsumedCapacity", prices))
    return respond(call, assemble(members))


def _key_read(selection: Selection, table: Table) -> Item:
    """The key of a read within a transaction, which may ask for nothing else."""
    if len(selection.source.steps) > 1:
        raise invalid("Reads on indices are not supported within transactions.")
    one = selection.one(table)
    if one is None or selection.select.order:
        if one is None:
            selection.on(table, True)  # its own faults come first
        raise invalid(NOT_BY_KEY)
    return one.key


# -- writes ---------------------------------------------------------------------------------------


async def _write(
    room: Room, call: Call, params: dict[str, Any], parsed: list[Parsed]
) -> HttpResponse:
    writes = _prepare(room, call, parsed)
    shows = [
        r.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
        for r in params["TransactStatements"]
    ]
    asked = capacity.wanted(params)
    operations = [w.operation(show) for w, show in zip(writes, shows, strict=True)]
    tables = [w.table for w in writes]
    metered = any(t.metered for t in tables)
    if metered:
        admit(room, list(zip(tables, operations, [w.item for w in writes], strict=True)))
    token = token_of(room, call, params, params["TransactStatements"], operations)
    entry = [token, operations, 1 if asked or metered else 0]
    try:
        result = await room.store.submit("dynamodb.transact", entry, call.invocation_id)
    except AwsError as error:
        charge(room, tables, None)
        raise _in_our_words(error, writes) from None
    repeated = isinstance(result, dict)
    charge(room, tables, result["repeat"] if repeated else result, repeated)
    members = [b'"Responses":[]']
    if asked:
        members.append(member(b"ConsumedCapacity", _report(writes, result, asked)))
    return respond(call, assemble(members))


def _prepare(room: Room, call: Call, parsed: list[Parsed]) -> list[Write]:
    reasons = Reasons()
    writes: list[Write] = []
    for number, (statement, parameters) in enumerate(parsed):
        with _named(number):
            draft = Draft(statement, parameters)
            table = _table(room, call, draft, reasons)
            if table is None:
                continue
            if draft.returning:
                raise invalid("RETURNING clause is not supported in ExecuteTransaction.")
            try:
                writes.append(draft.on(table, in_transaction=True))
                reasons.none()
            except AwsError as error:
                if not error.message.startswith(REASONS):
                    raise
                reasons.add("ValidationError", error.message)
    reasons.check()
    if len({w.key for w in writes}) < len(writes):
        raise invalid(TWICE)
    check_payload(sum(item_size(w.item) for w in writes))
    return writes


def _in_our_words(error: AwsError, writes: list[Write]) -> AwsError:
    """A cancelled INSERT says that its item is there."""
    reasons = error.fields.get("CancellationReasons")
    if error.code != "TransactionCanceledException" or reasons is None:
        return error
    out = []
    for reason, write in zip(reasons, writes, strict=True):
        if reason["Code"] == "ConditionalCheckFailed" and write.insert:
            reason = {**reason, "Code": "DuplicateItem", "Message": duplicate().message}
        elif reason.get("Message", "").startswith(NESTED):
            reason = {**reason, "Message": NESTED}
        out.append(reason)
    return canceled(out)


def _report(writes: list[Write], result: Any, asked: str) -> list[dict[str, Any]]:
    """A price for each statement: twice a plain write, but for its indexes; a repeat by token is
    charged as reads of the items."""
    repeated = isinstance(result, dict)
    prices = (result["repeat"] if repeated else result) or [None] * len(writes)
    kind = "Read" if repeated else "Write"
    out = []
    for write, price in zip(writes, prices, strict=True):
        base, indexes = price or (1.0, {})
        if repeated:
            base, indexes = -(-base // READ_PER_WRITE), {}
        out.append(capacity.report(write.table, asked, 2 * base, indexes, kind))
    return out
