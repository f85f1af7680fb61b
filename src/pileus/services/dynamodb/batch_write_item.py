"""BatchWriteItem."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import PRICE
from pileus.services.dynamodb.schema import MISMATCH, Table
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, SEVERAL, check_item
from pileus.services.dynamodb.write_answer import collection_metrics

WRITES_MAX = 25
ENTRY_BYTES_MAX = 512 * 1024


async def batch_write_item(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to 25 puts and deletes. Each takes effect on its own; here several share an entry."""
    requests = params["RequestItems"]
    _check(requests)
    flags = PRICE if capacity.wanted(params) else 0
    operations, tables, metrics = _resolve(room, call, requests)
    prices: list[Any] = []
    for number, group in enumerate(_groups(operations)):
        retry_id = part_id(call.invocation_id, number)
        prices += await room.store.submit("dynamodb.batch", [group, flags], retry_id) or []
    members = [b'"UnprocessedItems":{}']
    if flags:
        report = _report(tables, prices, capacity.wanted(params))
        members.append(member(b"ConsumedCapacity", report))
    if params.get("ReturnItemCollectionMetrics") == "SIZE" and metrics:
        members.append(member(b"ItemCollectionMetrics", metrics))
    return respond(call, assemble(members))


def part_id(invocation_id: bytes, number: int) -> bytes:
    """A retry id for each entry of one call."""
    if not invocation_id or number == 0:
        return invocation_id
    mixed = int.from_bytes(invocation_id, "big") ^ (number << 64)
    return mixed.to_bytes(16, "big")


def _check(requests: dict[str, Any]) -> None:
    total = 0
    for writes in requests.values():
        if any(len(w) != 1 for w in writes):
            raise invalid(SEVERAL)
        for write in writes:
            total += 1
            if "PutRequest" in write:
                if check_item(write["PutRequest"]["Item"]) > ITEM_BYTES_MAX:
                    raise invalid("Item size has exceeded the maximum allowed size")
            else:
                check_item(write["DeleteRequest"]["Key"])
    if total > WRITES_MAX:
        raise invalid("Too many items requested for the BatchWriteItem call")


def _resolve(
    room: Room, call: Call, requests: dict[str, Any]
) -> tuple[list[list[Any]], list[Table], dict[str, Any]]:
    """Entry operations, the table of each, and collection metrics by table name."""
    operations: list[list[Any]] = []
    tables: list[Table] = []
    metrics: dict[str, Any] = {}
    for name, writes in requests.items():
        table = room.table(call, name)
        seen = set()
        for write in writes:
            key, text, item = _one(table, write)
            if key in seen:
                raise invalid("Provided list of item keys contains duplicates")
            seen.add(key)
            operations.append([table.meta_key, table.id, key, text])
            tables.append(table)
            found = collection_metrics(table, item)
            if found is not None and found not in metrics.setdefault(name, []):
                metrics[name].append(found)
    return operations, tables, metrics


def _one(table: Table, write: dict[str, Any]) -> tuple[bytes, bytes | None, dict[str, Any]]:
    if "DeleteRequest" in write:
        key = write["DeleteRequest"]["Key"]
        return table.key_of(key), None, key
    item = write["PutRequest"]["Item"]
    try:
        return table.item_key(item), orjson.dumps(item), item
    except AwsError as error:
        if "Missing the key" in error.message or "Type mismatch for key" in error.message:
            raise invalid(MISMATCH) from None
        raise


def _groups(operations: list[list[Any]]) -> list[list[list[Any]]]:
    """Operations in order, cut so that no entry grows large."""
    groups: list[list[list[Any]]] = [[]]
    size = 0
    for operation in operations:
        here = len(operation[3] or b"")
        if groups[-1] and size + here > ENTRY_BYTES_MAX:
            groups.append([])
            size = 0
        groups[-1].append(operation)
        size += here
    return groups


def _report(tables: list[Table], prices: list[Any], asked: str) -> list[dict[str, Any]]:
    """One ConsumedCapacity per table."""
    sums: dict[str, tuple[Table, float, dict[str, float]]] = {}
    for table, (base, indexes) in zip(tables, prices, strict=True):
        _, total, by_index = sums.get(table.name, (table, 0.0, {}))
        for name, units in indexes.items():
            by_index[name] = by_index.get(name, 0.0) + units
        sums[table.name] = (table, total + base, by_index)
    return [capacity.report(t, asked, total, by_index) for t, total, by_index in sums.values()]
