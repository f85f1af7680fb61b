"""Which permissions a call needs (Service Authorization Reference, "Amazon DynamoDB").

Also the place where a direct operation's body becomes ``call.params``.
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.call import Access, Call
from pileus.services.dynamodb.conditionkeys import Conditions
from pileus.services.dynamodb.faults import unserializable
from pileus.services.dynamodb.partiql.permissions import accesses
from pileus.services.dynamodb.resource_policy import holder, table_of
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import SINGLE_ACTIONS

UNSCOPED = frozenset(
    {
        *("ListTables", "DescribeLimits", "DescribeEndpoints"),
        *("ListBackups", "ListExports", "ListImports"),
    }
)
# The member that names the resource, where it is not the table's name.
BY_ARN = {
    "DescribeBackup": "BackupArn",
    "DeleteBackup": "BackupArn",
    "RestoreTableFromBackup": "BackupArn",
    "ExportTableToPointInTime": "TableArn",
    "DescribeExport": "ExportArn",
    "DescribeImport": "ImportArn",
}
PARTIQL = frozenset({"ExecuteStatement", "BatchExecuteStatement", "ExecuteTransaction"})
ON_INDEX = frozenset({"Query", "Scan"})
SINGLE = frozenset(SINGLE_ACTIONS)
TRANSACT_ACTIONS = {
    "Put": "PutItem",
    "Update": "UpdateItem",
    "Delete": "DeleteItem",
    "ConditionCheck": "ConditionCheckItem",
    "Get": "GetItem",
}


def read_body(call: Call) -> None:
    """Fill ``call.params`` from the request's JSON; SerializationException when it is none."""
    if call.request is None or call.params:
        return
    try:
        params = orjson.loads(call.request.body)
    except orjson.JSONDecodeError:
        raise unserializable() from None
    if type(params) is not dict:
        raise unserializable("Start of structure or map found where not expected")
    call.params = params


def single(room: Room, call: Call) -> tuple[str, str] | None:
    """The quick look at an operation on one table without a policy of its own; the table is kept
    in ``call.scratch``."""
    if call.operation not in SINGLE or call.request is None:
        return None
    try:
        call.params = params = orjson.loads(call.request.body)
        name = params["TableName"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        call.params = {}
        return None  # the exact reader says what is wrong
    if type(name) is not str or "IndexName" in params:
        return None
    table = room.tables.find(call.principal.account, call.region, name)
    if table is None or not table.active:
        return None
    call.scratch = table
    call.request.meter = table.meters.get(call.operation) or room.count(table, call)
    return table.single.get(call.operation)


def access(room: Room, call: Call) -> list[Access]:
    """The actions and resources of a call."""
    read_body(call)
    params, operation = call.params, call.operation
    if operation in UNSCOPED:
        return [Access("dynamodb:" + operation)]
    # Operations on many tables first: a stray TableName must not stand for those they name.
    if operation in ("BatchGetItem", "BatchWriteItem"):
        return _batch(room, call, operation, params)
    if operation in ("TransactWriteItems", "TransactGetItems"):
        return _transaction(room, call, params)
    if operation in PARTIQL:
        return accesses(room, call)
    name = params.get("TableName")
    if type(name) is str:
        return [_on_table(room, call, operation, name, params)]
    if operation == "RestoreTableToPointInTime":
        source = params.get("SourceTableArn") or params.get("SourceTableName")
        arn = table_arn(call, source) if type(source) is str else "*"
        first = Access("dynamodb:" + operation, arn, owner=owner_of(arn))
        return [first, *_targets(call, operation, params)]
    if operation == "ImportTable":
        return _targets(call, operation, params) or [Access("dynamodb:" + operation)]
    named = params.get(BY_ARN.get(operation, "ResourceArn"))
    arn = named if isinstance(named, str) else "*"
    out = [Access("dynamodb:" + operation, arn, policy_of(room, call, arn), owner_of(arn))]
    return out + _targets(call, operation, params)


def _targets(call: Call, operation: str, params: dict[str, Any]) -> list[Access]:
    """The tables a restore or an import makes: the caller needs the permission on them, too."""
    name = params.get("TargetTableName")
    if operation == "ImportTable":
        made = params.get("TableCreationParameters")
        name = made.get("TableName") if type(made) is dict else None
    if type(name) is not str:
        return []
    return [Access("dynamodb:" + operation, table_arn(call, name))]


def table_arn(call: Call, name: str) -> str:
    """The ARN of a table named in a request, by name or by ARN."""
    if name.startswith("arn:"):
        return name
    return f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"


def policy_of(room: Room, call: Call, arn: str) -> dict[str, Any] | None:
    """The policy of its own that a table or a stream named by its ARN has."""
    table = table_of(room, call, arn)
    held = holder(table.description, arn) if table is not None else None
    return held.get("policy") if held is not None else None


def owner_of(arn: str) -> str:
    """The account an ARN names; '' for anything else, which is the caller's own."""
    pieces = arn.split(":", 5) if arn.startswith("arn:") else ()
    return pieces[4] if len(pieces) == 6 else ""


def _on_table(room: Room, call: Call, operation: str, name: str, params: dict[str, Any]) -> Access:
    arn = table_arn(call, name)
    if operation in ON_INDEX and type(params.get("IndexName")) is str:
        arn += "/index/" + params["IndexName"]
    table = room.tables.find(call.account, call.region, name)
    policy = table.description.get("policy") if table is not None else None
    enclosing = call.operation if call.operation != operation else ""
    context = Conditions(table, [params], params, enclosing)
    return Access("dynamodb:" + operation, arn, policy, owner_of(name), context)


def _batch(room: Room, call: Call, operation: str, params: dict[str, Any]) -> list[Access]:
    requests = params.get("RequestItems")
    if type(requests) is not dict or not requests:
        return [Access("dynamodb:" + operation)]
    out = []
    for name, request in requests.items():
        access = _on_table(room, call, operation, name, {})
        table = room.tables.find(call.account, call.region, name)
        access.context = Conditions(table, [{"RequestItems": request}], params)
        out.append(access)
    return out


def _transaction(room: Room, call: Call, params: dict[str, Any]) -> list[Access]:
    """A transaction needs the permission of each operation in it."""
    out = []
    items = params.get("TransactItems")
    for entry in items if type(items) is list else []:
        for kind, request in entry.items() if type(entry) is dict else ():
            action = TRANSACT_ACTIONS.get(kind)
            if action and type(request) is dict and type(request.get("TableName")) is str:
                out.append(_on_table(room, call, action, request["TableName"], request))
    return out or [Access("dynamodb:" + call.operation)]
