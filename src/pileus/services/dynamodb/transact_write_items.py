"""TransactWriteItems."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.expressions.binding import Bound
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.item_collections import collection_metrics
from pileus.services.dynamodb.put_item import guard_of
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table, ends_transaction
from pileus.services.dynamodb.throughput import Price, reason
from pileus.services.dynamodb.transacting import canceled, check_payload
from pileus.services.dynamodb.update_item import check_targets, nested_of, spec_of
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, Item, check_item
from pileus.state import keys

OPERATIONS_MAX = 100
READ_PER_WRITE = 4  # kilobytes in a read unit
TOKENS = "dynamodb.tokens"


def tokens_of(table_id: str) -> str:
    """Where tokens lie beside a table's items."""
    return f"d:{table_id}:tokens"


KINDS = ("Put", "Update", "Delete", "ConditionCheck")
NONE = {"Code": "None"}


async def transact_write_items(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to a hundred writes of any tables, all or nothing; idempotent by ClientRequestToken."""
    requests = params["TransactItems"]
    asked_for = [_check(r) for r in requests]
    check_payload(sum(a.size for a in asked_for))
    prepared = _prepare_all(room, call, asked_for)
    tables = [t for t, _, _ in prepared]
    asked = capacity.wanted(params)
    metered = any(t.metered for t in tables)
    if metered:
        admit(room, prepared)
    operations = [operation for _, operation, _ in prepared]
    token = token_of(room, call, params, requests, operations)
    entry = [token, operations, 1 if asked or metered else 0]
    try:
        result = await room.store.submit("dynamodb.transact", entry, call.invocation_id)
    except AwsError:
        charge(room, tables, None)
        raise
    repeated = isinstance(result, dict)
    prices = result["repeat"] if repeated else result
    charge(room, tables, prices, repeated)
    members = []
    if asked:
        report = _report(tables, prices, asked, repeated)
        members.append(member(b"ConsumedCapacity", report))
    if params.get("ReturnItemCollectionMetrics") == "SIZE":
        members += _metrics(room, prepared)
    return respond(call, assemble(members))


def admit(room: Room, prepared: list[tuple[Table, list[Any], Item]]) -> None:
    """Every operation needs room in its table and indexes, or the whole is canceled."""
    reasons = []
    for table, operation, item in prepared:
        kind, key = operation[0], operation[3]
        reasons.append(NONE)
        if not table.metered:
            continue
        try:
            if kind == "put":
                room.throughput.admit_write(table, key, item)
            elif kind == "delete":
                room.throughput.admit_write(table, key, None)
            else:
                heads = _heads(operation[5]) if kind == "update" else ()
                room.throughput.admit_write(table, key, item, heads)
        except AwsError as error:
            reasons[-1] = reason(error)
    if any(r is not NONE for r in reasons):
        raise canceled(reasons)


def _heads(spec: list[Any] | None) -> Iterable[str]:
    return compile_update(spec[1], spec[2]).heads if spec is not None else ()


def charge(
    room: Room, tables: list[Table], prices: list[Any] | None, repeated: bool = False
) -> None:
    """A transaction costs twice; one that failed, the least (``prices`` None); a repeat by token,
    what reading its items does."""
    for number, table in enumerate(tables):
        if not table.metered:
            continue
        price: Price = prices[number] if prices else [1.0, {}]
        if repeated:
            room.throughput.charge_read(table, 2 * -(-price[0] // READ_PER_WRITE))
        else:
            room.throughput.charge_write(table, price, times=2)


def _part(request: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    found = [k for k in KINDS if k in request]
    if len(found) != 1:
        raise invalid("TransactItems can only contain one of Check, Put, Update or Delete")
    return found[0], request[found[0]]


@dataclass(slots=True)
class _Asked:
    """One operation: its members, its compiled expressions, the size of its item or key."""

    kind: str
    part: dict[str, Any]
    size: int
    guard: Any
    bound: Bound


def _check(request: dict[str, Any]) -> _Asked:
    """One operation's values and expressions: of all operations in their order, before any table is
    looked up."""
    kind, part = _part(request)
    size = check_item(part["Item" if kind == "Put" else "Key"])
    if kind == "Put" and size > ITEM_BYTES_MAX:
        raise invalid("Item size has exceeded the maximum allowed size")
    return _Asked(kind, part, size, *guard_of(part))


def _prepare_all(room: Room, call: Call, asked: list[_Asked]) -> list[tuple[Table, Any, Any]]:
    """Entry operations. A mistake in one cancels the whole, with the mistake as its reason. Each is
    held to its table before two of one item are found."""
    tables = [room.table(call, one.part["TableName"]) for one in asked]
    prepared = []
    for number, (table, one) in enumerate(zip(tables, asked, strict=True)):
        try:
            operation, item = _prepare(table, one)
        except AwsError as error:
            if ends_transaction(error):
                raise
            # The first mistake ends the look: what comes after it has no reason of its own.
            reasons = [NONE] * len(asked)
            reasons[number] = {"Code": "ValidationError", "Message": error.message}
            raise canceled(reasons) from None
        prepared.append((table, operation, item))
    if len({operation[3] for _, operation, _ in prepared}) < len(prepared):
        raise invalid("Transaction request cannot include multiple operations on one item")
    return prepared


def _prepare(table: Table, one: _Asked) -> tuple[list[Any], dict[str, Any]]:
    kind, part, guard, bound = one.kind, one.part, one.guard, one.bound
    show = part.get("ReturnValuesOnConditionCheckFailure") == "ALL_OLD"
    check_nested(table, nested_of(bound))
    if kind == "Put":
        item = part["Item"]
        key = table.item_key(item)
        head = ["put", table.meta_key, table.id, key]
        return [*head, orjson.dumps(item), guard, show], item
    item = part["Key"]
    head = [kind.lower(), table.meta_key, table.id, table.key_of(item)]
    if kind == "Update":
        spec = spec_of(part, bound, [])
        check_targets(table, bound.update, bound.values, [])
        return [*head, item, spec, guard, show], item
    head[0] = "delete" if kind == "Delete" else "check"
    return [*head, guard, show], item


def token_of(
    room: Room, call: Call, params: dict[str, Any], requests: list[Any], operations: list[Any]
) -> list[Any] | None:
    """The row key of the request's ClientRequestToken and a digest of what it stands for. Where
    shards are several the row lies beside the items of the first table named."""
    token = params.get("ClientRequestToken")
    if not token:
        return None
    text = orjson.dumps(requests, option=orjson.OPT_SORT_KEYS)
    digest = hashlib.sha256(text).hexdigest()
    table = TOKENS if room.store.tablets.count == 1 else tokens_of(operations[0][2])
    return [keys.key(table, f"{call.account}/{call.region}", token), digest]


def _report(
    tables: list[Table], prices: list[Any], asked: str, repeated: bool
) -> list[dict[str, Any]]:
    """A transaction costs twice a plain write, but for its indexes (observed); a repeat by token is
    charged as reads of its items (Developer Guide, "Capacity management for transactions")."""
    sums: dict[str, tuple[Table, float, dict[str, float]]] = {}
    for table, (base, indexes) in zip(tables, prices or [[1.0, {}]] * len(tables), strict=True):
        if repeated:
            base, indexes = -(-base // READ_PER_WRITE), {}
        _, total, by_index = sums.get(table.name, (table, 0.0, {}))
        for name, units in indexes.items():
            by_index[name] = by_index.get(name, 0.0) + units
        sums[table.name] = (table, total + 2 * base, by_index)
    kind = "Read" if repeated else "Write"
    return [capacity.report(t, asked, n, by_index, kind) for t, n, by_index in sums.values()]


def _metrics(room: Room, prepared: list[tuple[Table, Any, Any]]) -> list[bytes]:
    out: dict[str, list[Any]] = {}
    for table, _, item in prepared:
        found = collection_metrics(room.store, table, item)
        if found is not None and found not in out.setdefault(table.name, []):
            out[table.name].append(found)
    return [member(b"ItemCollectionMetrics", out)] if out else []
