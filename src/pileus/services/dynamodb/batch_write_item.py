"""BatchWriteItem."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.dynamodb import capacity
from pileus.services.dynamodb.answers import assemble, member, respond
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.item_collections import collection_metrics
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import PRICE
from pileus.services.dynamodb.schema import MISMATCH, Table
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, SEVERAL, check_item

WRITES_MAX = 25
ENTRY_BYTES_MAX = 512 * 1024


async def batch_write_item(room: Room, call: Call, params: dict[str, Any]) -> HttpResponse:
    """Up to 25 puts and deletes. Each takes effect on its own; here several share an entry. What
    exceeds a table's throughput is handed back unprocessed."""
    requests = params["RequestItems"]
    _check(requests)
    writes, left = _admit(room, _resolve(room, call, requests))
    metered = any(w.table.metered for w in writes)
    flags = PRICE if capacity.wanted(params) or metered else 0
    prices: list[Any] = []
    for number, group in enumerate(_groups([w.operation for w in writes])):
        retry_id = part_id(call.invocation_id, number, group if metered or left else [])
        prices += await room.store.submit("dynamodb.batch", [group, flags], retry_id) or []
    if metered:
        _charge(room, writes, prices)
    members = [member(b"UnprocessedItems", left)]
    if capacity.wanted(params):
        report = _report([w.table for w in writes], prices, capacity.wanted(params))
        members.append(member(b"ConsumedCapacity", report))
    if params.get("ReturnItemCollectionMetrics") == "SIZE":
        metrics = _metrics(room, writes)
        if metrics:
            members.append(member(b"ItemCollectionMetrics", metrics))
    return respond(call, assemble(members))


@dataclass(slots=True)
class _Write:
    """One write: how it was asked, its table, its entry operation."""

    name: str
    asked: dict[str, Any]
    table: Table
    operation: list[Any]


def _admit(room: Room, writes: list[_Write]) -> tuple[list[_Write], dict[str, Any]]:
    """What has room now, each taking a unit; and the rest, by table. The error when nothing has."""
    admitted: list[_Write] = []
    left: dict[str, list[Any]] = {}
    refused: AwsError | None = None
    for write in writes:
        table = write.table
        if table.metered:
            item = write.asked.get("PutRequest", {}).get("Item")
            try:
                room.throughput.admit_write(table, write.operation[2], item)
            except AwsError as error:
                refused = error
                left.setdefault(write.name, []).append(write.asked)
                continue
            room.throughput.reserve(table)
        admitted.append(write)
    if refused is not None and not admitted:
        raise refused
    return admitted, left


def _charge(room: Room, writes: list[_Write], prices: list[Any]) -> None:
    for write, price in zip(writes, prices, strict=True):
        if write.table.metered:
            room.throughput.charge_reserved(write.table, price)


def part_id(invocation_id: bytes, number: int, group: Sequence[Sequence[Any]] = ()) -> bytes:
    """A retry id for each entry of one call. A repeat of a metered call may be let in with other
    writes: then it is another entry (``group``), never answered from the first one's."""
    if not invocation_id or (number == 0 and not group):
        return invocation_id
    parts = [invocation_id, number.to_bytes(4, "big"), *(operation[2] for operation in group)]
    return hashlib.blake2b(b"".join(parts), digest_size=16).digest()


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


def _resolve(room: Room, call: Call, requests: dict[str, Any]) -> list[_Write]:
    """The writes in order."""
    writes: list[_Write] = []
    for name, asked in requests.items():
        table = room.table(call, name)
        seen = set()
        for write in asked:
            key, text = _one(table, write)
            if key in seen:
                raise invalid("Provided list of item keys contains duplicates")
            seen.add(key)
            writes.append(_Write(name, write, table, [table.meta_key, table.id, key, text]))
    return writes


def _metrics(room: Room, writes: list[_Write]) -> dict[str, list[Any]]:
    """ItemCollectionMetrics by table name."""
    metrics: dict[str, list[Any]] = {}
    for write in writes:
        put, delete = write.asked.get("PutRequest"), write.asked.get("DeleteRequest")
        item = put["Item"] if put is not None else delete["Key"] if delete is not None else {}
        found = collection_metrics(room.store, write.table, item)
        if found is not None and found not in metrics.setdefault(write.name, []):
            metrics[write.name].append(found)
    return metrics


def _one(table: Table, write: dict[str, Any]) -> tuple[bytes, bytes | None]:
    if "DeleteRequest" in write:
        key = write["DeleteRequest"]["Key"]
        return table.key_of(key), None
    item = write["PutRequest"]["Item"]
    try:
        return table.item_key(item), orjson.dumps(item)
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
