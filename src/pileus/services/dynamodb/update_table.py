"""UpdateTable: billing, throughput, global indexes, stream, protection, class, encryption."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.create_table import (
    new_index,
    set_encryption,
    set_on_demand,
    set_stream,
)
from pileus.services.dynamodb.delete_table import check_idle, gone_key
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import (
    bad_parameter,
    invalid,
    limit_exceeded,
    not_found,
    table_not_found,
)
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import (
    GLOBAL_MAX,
    NEITHER,
    UNITS_MAX,
    check_global_index,
    check_projected,
    check_stream,
    check_units,
)

CHANGES = (
    "ProvisionedThroughput",
    "BillingMode",
    "GlobalSecondaryIndexUpdates",
    "SSESpecification",
    "StreamSpecification",
    "DeletionProtectionEnabled",
    "TableClass",
    "OnDemandThroughput",
    "WarmThroughput",
)
GLOBAL = "GlobalSecondaryIndexes"
Row = dict[str, Any]


async def update_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Change a live table. A new index is filled in the background, then becomes ACTIVE."""
    _check(p)
    name = p["TableName"]
    table = room.tables.describe(call.account, call.region, name)
    at_ms = room.clock.now_ms()

    def change(draft: Any) -> Row:
        row: Row | None = draft.get_json(table.meta_key)
        if row is None:
            raise table_not_found(name)
        if row["TableStatus"] == "CREATING":
            check_idle(row)
        _apply(room, call, row, p, at_ms, draft)
        draft.put_json(table.meta_key, row)
        return row

    row = await room.store.transact(change, call.invocation_id)
    shown = describe(room, row)
    shown["TableStatus"] = "UPDATING"
    if "ProvisionedThroughput" in p and "ProvisionedThroughput" in table.description:
        # The answer still shows what was; DescribeTable shows what is.
        shown["ProvisionedThroughput"] = {
            **shown["ProvisionedThroughput"],
            **{
                m: table.description["ProvisionedThroughput"][m]
                for m in ("ReadCapacityUnits", "WriteCapacityUnits")
            },
        }
    return {"TableDescription": shown}


def _check(p: dict[str, Any]) -> None:
    if all(not p.get(m) and p.get(m) is not False for m in CHANGES):
        raise invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled,"
            " GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required"
        )
    units = p.get("ProvisionedThroughput")
    if p.get("BillingMode") == "PROVISIONED" and not units:
        raise bad_parameter(
            "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
        )
    if units:
        check_units(units)
    _check_updates(p)


def _check_updates(p: dict[str, Any]) -> None:
    names: set[str] = set()
    for update in p.get("GlobalSecondaryIndexUpdates") or ():
        found = [update[k] for k in ("Update", "Create", "Delete") if k in update]
        if not found:
            raise bad_parameter(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create,"
                " GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        name = found[0]["IndexName"]
        if name in names:
            raise bad_parameter(
                "Only one global secondary index update per index is allowed simultaneously."
                f" Index: {name}"
            )
        names.add(name)


def _check_index_units(updates: list[dict[str, Any]]) -> None:
    for update in updates:
        units = update.get("Update", {}).get("ProvisionedThroughput") or {}
        if any(n > UNITS_MAX for n in units.values()):
            raise invalid(
                "This operation cannot be performed with given input values. Please contact"
                " DynamoDB service team for more info: Action Blocked: IndexUpdate"
            )


def _apply(room: Room, call: Call, row: Row, p: dict[str, Any], at_ms: int, draft: Any) -> None:
    on_demand = billing_of(row) == "PAY_PER_REQUEST"
    wanted = p.get("BillingMode") or billing_of(row)
    if p.get("ProvisionedThroughput") and wanted == "PAY_PER_REQUEST":
        raise bad_parameter(NEITHER)
    updates = p.get("GlobalSecondaryIndexUpdates") or []
    if wanted == "PROVISIONED" and on_demand:
        _need_index_units(row, updates)
    if p.get("ProvisionedThroughput"):
        _set_units(row, p["ProvisionedThroughput"], at_ms, changed=wanted != billing_of(row))
    if len([u for u in updates if "Create" in u or "Delete" in u]) > 1 or len(updates) > 5:
        raise limit_exceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted"
            " simultaneously per table"
        )
    _check_index_units(updates)
    _set_billing(row, p.get("BillingMode"), at_ms)
    if p.get("AttributeDefinitions"):
        _merge_definitions(row, p["AttributeDefinitions"])
    for update in updates:
        _update_index(room, row, update, wanted, at_ms, draft)
    _drop_unused_definitions(row)
    _apply_rest(call, row, p, at_ms)


def _apply_rest(call: Call, row: Row, p: dict[str, Any], at_ms: int) -> None:
    if "StreamSpecification" in p:
        _update_stream(row, p["StreamSpecification"], at_ms)
    if "DeletionProtectionEnabled" in p:
        row["DeletionProtectionEnabled"] = p["DeletionProtectionEnabled"]
    if "TableClass" in p:
        row["TableClassSummary"] = {
            "TableClass": p["TableClass"],
            "LastUpdateDateTime": at_ms / 1000,
        }
    if "SSESpecification" in p:
        set_encryption(row, call, p["SSESpecification"])
    for member in ("OnDemandThroughput", "WarmThroughput"):
        if member in p:
            row[member] = p[member]


def billing_of(row: Row) -> str:
    """A description's billing mode."""
    mode: str = row.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")
    return mode


def _need_index_units(row: Row, updates: list[dict[str, Any]]) -> None:
    given = {u["Update"]["IndexName"] for u in updates if "Update" in u}
    missing = [i["IndexName"] for i in row.get(GLOBAL, ()) if i["IndexName"] not in given]
    if missing:
        raise bad_parameter(
            f"ProvisionedThroughput must be specified for index: {','.join(missing)}"
        )


def _set_units(holder: Row, units: dict[str, int], at_ms: int, changed: bool) -> None:
    """New provisioned units; they must differ from the present ones."""
    now = holder.setdefault("ProvisionedThroughput", {"NumberOfDecreasesToday": 0})
    read, write = units["ReadCapacityUnits"], units["WriteCapacityUnits"]
    had_read, had_write = now.get("ReadCapacityUnits", 0), now.get("WriteCapacityUnits", 0)
    if (read, write) == (had_read, had_write) and not changed:
        raise invalid(
            "The provisioned throughput for the table will not change. The requested value equals"
            " the current value. Current ReadCapacityUnits provisioned for the table:"
            f" {had_read}. Requested ReadCapacityUnits: {read}. Current WriteCapacityUnits"
            f" provisioned for the table: {had_write}. Requested WriteCapacityUnits: {write}."
            " Refer to the Amazon DynamoDB Developer Guide for current limits and how to request"
            " higher limits."
        )
    if read > had_read or write > had_write:
        now["LastIncreaseDateTime"] = at_ms / 1000
    if read < had_read or write < had_write:
        now["LastDecreaseDateTime"] = at_ms / 1000
        now["NumberOfDecreasesToday"] += 1
    now["ReadCapacityUnits"], now["WriteCapacityUnits"] = read, write


def _set_billing(row: Row, mode: str | None, at_ms: int) -> None:
    if mode is None or mode == billing_of(row):
        return
    if mode == "PAY_PER_REQUEST":
        set_on_demand(row, at_ms)
        zero = {"NumberOfDecreasesToday": 0, "ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
        for holder in (row, *row.get(GLOBAL, ())):
            holder["ProvisionedThroughput"] = dict(zero)
        return
    row["BillingModeSummary"] = {**row["BillingModeSummary"], "BillingMode": "PROVISIONED"}
    row["TableThroughputModeSummary"] = {
        **row["TableThroughputModeSummary"],
        "TableThroughputMode": "PROVISIONED",
    }


def _merge_definitions(row: Row, definitions: list[dict[str, str]]) -> None:
    known = {a["AttributeName"]: a for a in row["AttributeDefinitions"]}
    for definition in definitions:
        known[definition["AttributeName"]] = definition
    row["AttributeDefinitions"] = list(known.values())


def _drop_unused_definitions(row: Row) -> None:
    used = {k["AttributeName"] for k in row["KeySchema"]}
    for member in (GLOBAL, "LocalSecondaryIndexes"):
        for index in row.get(member, ()):
            used |= {k["AttributeName"] for k in index["KeySchema"]}
    row["AttributeDefinitions"] = [
        a for a in row["AttributeDefinitions"] if a["AttributeName"] in used
    ]


def _update_index(
    room: Room, row: Row, update: dict[str, Any], billing: str, at_ms: int, draft: Any
) -> None:
    present = {i["IndexName"]: i for i in row.get(GLOBAL, ())}
    if "Create" in update:
        _create_index(room, row, update["Create"], present, billing)
        return
    part = update.get("Delete") or update["Update"]
    index = present.get(part["IndexName"])
    if index is None:
        raise not_found("Requested resource not found")
    if "Delete" in update:
        row[GLOBAL] = [i for i in row[GLOBAL] if i is not index]
        if not row[GLOBAL]:
            del row[GLOBAL]
        draft.put(gone_key(f"d:{row['id']}:{index['id']}"), b"")
    elif part.get("ProvisionedThroughput"):
        _set_units(index, part["ProvisionedThroughput"], at_ms, changed=False)


def _create_index(
    room: Room, row: Row, part: dict[str, Any], present: dict[str, Any], billing: str
) -> None:
    names = [a["AttributeName"] for a in row["AttributeDefinitions"]]
    check_global_index(part, names, billing)
    local = [i["IndexName"] for i in row.get("LocalSecondaryIndexes", ())]
    if part["IndexName"] in present or part["IndexName"] in local:
        raise AwsError(
            "ValidationException",
            f"One or more parameter values were invalid: Duplicate index name: {part['IndexName']}",
        )
    if len(present) >= GLOBAL_MAX:
        raise limit_exceeded(
            "Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit"
            f" of {GLOBAL_MAX}"
        )
    index = new_index(room, row["TableArn"], part, is_global=True)
    index |= {"IndexStatus": "CREATING", "Backfilling": True}
    row.setdefault(GLOBAL, []).append(index)
    check_projected(row)


def _update_stream(row: Row, spec: dict[str, Any], at_ms: int) -> None:
    check_stream(spec)
    on = bool(row.get("StreamSpecification", {}).get("StreamEnabled"))
    if spec["StreamEnabled"] and on:
        raise invalid(f"Table already has an enabled stream: TableName: {row['TableName']}")
    if not spec["StreamEnabled"] and not on:
        raise invalid(f"Table is not an enabled stream: TableName: {row['TableName']}")
    if spec["StreamEnabled"]:
        set_stream(row, spec, at_ms)
    else:
        row.pop("StreamSpecification", None)
        row["streams"][-1]["until_ms"] = at_ms
