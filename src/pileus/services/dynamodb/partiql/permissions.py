"""Permissions of statements (Developer Guide, "IAM security policies with PartiQL for DynamoDB").

A statement that does not parse needs none: the operation refuses it by the same parser.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Access, Call
from pileus.services.dynamodb.conditionkeys import WorkedOut
from pileus.services.dynamodb.partiql.literals import check_parameters
from pileus.services.dynamodb.partiql.parser import parse
from pileus.services.dynamodb.partiql.ranges import Keys, one_item, paths_in
from pileus.services.dynamodb.partiql.syntax import (
    Delete,
    Exists,
    Insert,
    Path,
    Select,
    Statement,
    Struct,
    Update,
)
from pileus.services.dynamodb.partiql.writes import Draft
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import Misshapen, Value, type_of

ACTIONS: dict[type, str] = {
    Select: "dynamodb:PartiQLSelect",
    Exists: "dynamodb:PartiQLSelect",
    Insert: "dynamodb:PartiQLInsert",
    Update: "dynamodb:PartiQLUpdate",
    Delete: "dynamodb:PartiQLDelete",
}
MEMBERS = {"BatchExecuteStatement": "Statements", "ExecuteTransaction": "TransactStatements"}


def accesses(room: Room, call: Call) -> list[Access]:
    """One action and table (or index) for each statement of the call."""
    member = MEMBERS.get(call.operation)
    requests = [call.params] if member is None else call.params.get(member)
    out = []
    for request in requests if isinstance(requests, list) else ():
        text = request.get("Statement") if isinstance(request, dict) else None
        if not isinstance(text, str):
            continue
        try:
            statement = parse(text)
        except AwsError:
            continue
        out.append(_access(room, call, statement, request))
    return out


def _access(room: Room, call: Call, statement: Statement, request: dict[str, Any]) -> Access:
    steps = statement.body.source.steps
    name = steps[0]
    arn = name
    if not name.startswith("arn:"):
        arn = f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"
    if len(steps) > 1:
        arn += "/index/" + steps[1]
    table = room.tables.find(call.account, call.region, name)
    policy = table.description.get("policy") if table is not None else None
    context = StatementConditions(call.operation, statement, request, table)
    return Access(ACTIONS[type(statement.body)], arn, policy, context=context)


class StatementConditions(WorkedOut):
    """The condition keys of one statement."""

    __slots__ = ("_operation", "_request", "_statement", "_table")

    def __init__(
        self, operation: str, statement: Statement, request: dict[str, Any], table: Table | None
    ) -> None:
        super().__init__()
        self._operation = operation
        self._statement = statement
        self._request = request
        self._table = table

    def _work_out(self) -> dict[str, Any]:
        out: dict[str, Any] = {"dynamodb:EnclosingOperation": self._operation}
        body = self._statement.body
        price = self._request.get("ReturnConsumedCapacity")
        if isinstance(price, str):
            out["dynamodb:ReturnConsumedCapacity"] = price
        if isinstance(body, Select):
            out["dynamodb:Select"] = "SPECIFIC_ATTRIBUTES" if body.columns else "ALL_ATTRIBUTES"
        if self._table is None:
            return out
        parameters = self._request.get("Parameters")
        values = parameters if isinstance(parameters, list) else []
        try:
            check_parameters(values)
            self._on_table(out, self._table, values)
        except (AwsError, Misshapen):
            # A statement that its table refuses: nothing of it will be carried out.
            out["dynamodb:FullTableScan"] = "true"
        return out

    def _on_table(self, out: dict[str, Any], table: Table, parameters: list[Value]) -> None:
        body = self._statement.body
        leading: list[Value] = []
        if isinstance(body, Select):
            index = table.by_name.get(body.source.steps[1]) if len(body.source.steps) > 1 else None
            asked = Keys(table, index, parameters)
            keyed = body.where is not None and asked.keyed(body.where)
            out["dynamodb:FullTableScan"] = "false" if keyed else "true"
            if keyed and body.where is not None:
                leading = [s.partition for s in asked.stretches(body.where)]
        elif isinstance(body, Insert):
            leading = [Draft(self._statement, parameters).on(table).item[table.hash_name]]
        else:
            where = body.select.where if isinstance(body, Exists) else body.where
            one = one_item(where, table, parameters)
            leading = [one.key[table.hash_name]] if one is not None else []
        if leading:
            out["dynamodb:LeadingKeys"] = sorted({str(v[type_of(v)]) for v in leading})
        names = _attributes(self._statement)
        if names:
            out["dynamodb:Attributes"] = sorted(names)


def _attributes(statement: Statement) -> set[str]:
    """The top-level attributes a statement names."""
    body = statement.body
    if isinstance(body, Insert):
        return {n for n, _ in body.value.fields} if isinstance(body.value, Struct) else set()
    where = body.select.where if isinstance(body, Exists) else body.where
    names = set() if where is None else {str(p.steps[0]) for p in paths_in(where)}
    if isinstance(body, Select):
        names |= {str(n.steps[0]) for n in body.columns or () if isinstance(n, Path)}
    if isinstance(body, Update):
        names |= {str(path.steps[0]) for path, _ in body.actions}
    return names
