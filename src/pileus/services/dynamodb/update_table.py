"""UpdateTable: billing, throughput, global indexes, stream, protection, class, encryption."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.billing import (
    DAY_S,
    GLOBAL,
    billing_of,
    set_billing,
    set_maxima,
    set_units,
    set_warm,
)
from pileus.services.dynamodb.create_table import set_encryption, set_stream, with_own_key
from pileus.services.dynamodb.delete_table import check_idle
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import bad_parameter, invalid, limit_exceeded, table_not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import NEITHER, check_stream, check_units
from pileus.services.dynamodb.update_indexes import (
    apply_update,
    check_against,
    check_updates,
    need_units,
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
# Changes of these leave the table ACTIVE (observed of the service).
QUIET = frozenset(
    {"OnDemandThroughput", "WarmThroughput", "DeletionProtectionEnabled", "SSESpecification"}
)
UNITS = ("ReadCapacityUnits", "WriteCapacityUnits", "NumberOfDecreasesToday")
MOMENTS = ("LastIncreaseDateTime", "LastDecreaseDateTime")
ABROAD = ("ReplicaUpdates", "GlobalTableWitnessUpdates", "GlobalTableSettingsReplicationMode")
CLASSES_MAX = 2
CLASS_DAYS = 30
Row = dict[str, Any]


async def update_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Change a live table. A new index is filled in the background, then becomes ACTIVE."""
    _check(p)
    p = await with_own_key(room, call, p, "SSESpecification")
    name = p["TableName"]
    table = room.tables.describe(call.account, call.region, name)
    began_ms = room.clock.now_ms()
    before: Row = {}

    def change(draft: Any) -> Row:
        row: Row | None = draft.get_json(table.meta_key)
        if row is None:
            raise table_not_found(name)
        if row["TableStatus"] == "CREATING":
            check_idle(row)
        before.clear()
        before.update(describe(room, row))
        at_ms = max(room.clock.now_ms(), began_ms + 1)  # the answer tells when it began
        _apply(room, call, row, p, at_ms, draft)
        draft.put_json(table.meta_key, row)
        return row

    row = await room.store.transact(change, call.invocation_id)
    return {"TableDescription": _shown(before, describe(room, row), p, began_ms)}


def _shown(before: Row, after: Row, p: dict[str, Any], began_ms: int) -> Row:
    """The answer: units and warmth still as they were; DescribeTable shows what is."""
    updates = {
        u[k]["IndexName"]: k
        for u in p.get("GlobalSecondaryIndexUpdates") or ()
        for k in ("Update", "Create", "Delete")
        if k in u
    }
    quiet = QUIET | (
        {"GlobalSecondaryIndexUpdates"} if set(updates.values()) == {"Update"} else set()
    )
    if not (p.keys() & set(CHANGES)) <= quiet:
        after["TableStatus"] = "UPDATING"
    if "SSEDescription" in before and "SSEDescription" not in after:  # on its way to AWS's own key
        after["SSEDescription"] = {**before["SSEDescription"], "Status": "UPDATING"}
    switched = billing_of(before) != billing_of(after)
    _as_before(after, before, began_ms, switched)
    if p.get("OnDemandThroughput"):
        after["OnDemandThroughput"] = {
            **after.get("OnDemandThroughput", {}),
            **p["OnDemandThroughput"],
        }
    if switched:
        for member in ("BillingModeSummary", "TableThroughputModeSummary"):
            after[member].pop("LastUpdateToPayPerRequestDateTime", None)
    had = {i["IndexName"]: i for i in before.get(GLOBAL, ())}
    for index in after.get(GLOBAL, ()):
        kind = updates.get(index["IndexName"])
        if kind == "Update" or (switched and kind is None):
            index["IndexStatus"] = "UPDATING"
        if kind == "Update":
            _as_before(index, had.get(index["IndexName"], index), began_ms, switched)
    # A repeat of a request that was carried out finds the index gone already.
    removed = [n for n, kind in updates.items() if kind == "Delete" and n in had]
    gone = [{**had[n], "IndexStatus": "DELETING"} for n in removed]
    if gone:
        after[GLOBAL] = [*after.get(GLOBAL, ()), *gone]
    return after


def _as_before(after: Row, before: Row, began_ms: int, switched: bool) -> None:
    if "ProvisionedThroughput" in before and not switched:
        now, was = after["ProvisionedThroughput"], before["ProvisionedThroughput"]
        for member in MOMENTS:
            if now.get(member) != was.get(member):
                now[member] = began_ms / 1000
        now |= {m: was[m] for m in UNITS}
    if after["WarmThroughput"] != before["WarmThroughput"]:
        after["WarmThroughput"] = {**before["WarmThroughput"], "Status": "UPDATING"}


def _check(p: dict[str, Any]) -> None:
    for member in ABROAD:
        if p.get(member):
            raise invalid(f"{member}: global tables are not offered by Pileus")
    if all(not p.get(m) and p.get(m) is not False for m in CHANGES):
        raise invalid(
            "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled,"
            " GlobalSecondaryIndexUpdates, SSESpecification, ReplicaUpdates,"
            " MultiAccountReplicaReady, ReplicaTransitRoleArn, MultiRegionConsistency,"
            " DeletionProtectionEnabled, OnDemandThroughput, WarmThroughput or TableClass is"
            " required"
        )
    units = p.get("ProvisionedThroughput")
    if p.get("BillingMode") == "PROVISIONED" and not units:
        raise bad_parameter(
            "ProvisionedThroughput must be specified when BillingMode is PROVISIONED"
        )
    if units:
        check_units(units)
    if p.get("GlobalSecondaryIndexUpdates") == []:
        raise bad_parameter("List of GlobalSecondaryIndexUpdates is empty")
    check_updates(p.get("GlobalSecondaryIndexUpdates") or [])


def _apply(room: Room, call: Call, row: Row, p: dict[str, Any], at_ms: int, draft: Any) -> None:
    billing = billing_of(row)
    wanted = p.get("BillingMode") or billing
    switched = wanted != billing
    if p.get("ProvisionedThroughput") and wanted == "PAY_PER_REQUEST":
        raise bad_parameter(NEITHER)
    updates = p.get("GlobalSecondaryIndexUpdates") or []
    if wanted == "PROVISIONED" and switched:
        need_units(row, updates)
    check_against(row, p, updates)
    set_billing(row, p.get("BillingMode"), at_ms)
    if p.get("ProvisionedThroughput"):
        set_units(row, p["ProvisionedThroughput"], at_ms, switched)
    if any("Create" in u for u in updates):
        _define(row, p)
    for update in updates:
        apply_update(room, row, update, wanted, switched, at_ms, draft)
    _drop_unused_definitions(row)
    if "OnDemandThroughput" in p:
        set_maxima(row, p["OnDemandThroughput"], wanted == "PAY_PER_REQUEST")
    if "WarmThroughput" in p:
        set_warm(row, p["WarmThroughput"])
    _apply_rest(call, row, p, at_ms, draft.several)


def _apply_rest(call: Call, row: Row, p: dict[str, Any], at_ms: int, several: bool) -> None:
    if "StreamSpecification" in p:
        _update_stream(row, p["StreamSpecification"], at_ms, several)
    if "DeletionProtectionEnabled" in p:
        row["DeletionProtectionEnabled"] = p["DeletionProtectionEnabled"]
    if "TableClass" in p:
        _set_class(row, p["TableClass"], at_ms / 1000)
    if "SSESpecification" in p:
        set_encryption(row, call, p["SSESpecification"])


def _set_class(row: Row, wanted: str, now_s: float) -> None:
    """A table's class may be changed twice in 30 days (Developer Guide, "Table classes")."""
    recent = [s for s in row.get("classes", ()) if s > now_s - CLASS_DAYS * DAY_S]
    if len(recent) >= CLASSES_MAX:
        raise limit_exceeded(
            f"Subscriber limit exceeded: Updates to TableClass are limited to {CLASSES_MAX} times"
            f" in {CLASS_DAYS} day(s)."
        )
    if wanted == row.get("TableClassSummary", {}).get("TableClass", "STANDARD"):
        return
    row["classes"] = [*recent, now_s]
    row["TableClassSummary"] = {"TableClass": wanted, "LastUpdateDateTime": now_s}


def _define(row: Row, p: dict[str, Any]) -> None:
    """Learn the attributes a new index needs. What is defined keeps its type."""
    if "AttributeDefinitions" not in p:
        (name,) = (
            u["Create"]["IndexName"] for u in p["GlobalSecondaryIndexUpdates"] if "Create" in u
        )
        raise bad_parameter(f"AttributeDefinitions is not specified for index: {name}")
    known = {a["AttributeName"]: a["AttributeType"] for a in row["AttributeDefinitions"]}
    given = {a["AttributeName"]: a["AttributeType"] for a in p["AttributeDefinitions"]}
    for update in p["GlobalSecondaryIndexUpdates"]:
        schema = update.get("Create", {}).get("KeySchema", ())
        for key in schema:
            kind = known.get(key["AttributeName"])
            if kind is not None and given.get(key["AttributeName"], kind) != kind:
                raise _redefined(row, key["AttributeName"], known, schema, given)
    new = [a for a in p["AttributeDefinitions"] if a["AttributeName"] not in known]
    row["AttributeDefinitions"] = [*row["AttributeDefinitions"], *new]


def _redefined(
    row: Row, name: str, known: dict[str, str], schema: list[dict[str, str]], given: dict[str, str]
) -> AwsError:
    indexes = [i for m in (GLOBAL, "LocalSecondaryIndexes") for i in row.get(m, ())]
    schemas = [row["KeySchema"], *(i["KeySchema"] for i in indexes)]
    now = next(s for s in schemas if any(k["AttributeName"] == name for k in s))
    return bad_parameter(
        "Attributes cannot be redefined. Please check that your attribute has the same type as"
        f" previously defined. Existing schema: {_told(now, known)}"
        f" New schema: {_told(schema, known | given)}"
    )


def _told(schema: list[dict[str, str]], kinds: dict[str, str]) -> str:
    keys = (f"{k['AttributeName']}:{kinds[k['AttributeName']]}:{k['KeyType']}" for k in schema)
    return f"Schema:[SchemaElement: key{{{'}, SchemaElement: key{'.join(keys)}}}]"


def _drop_unused_definitions(row: Row) -> None:
    used = {k["AttributeName"] for k in row["KeySchema"]}
    for member in (GLOBAL, "LocalSecondaryIndexes"):
        for index in row.get(member, ()):
            used |= {k["AttributeName"] for k in index["KeySchema"]}
    row["AttributeDefinitions"] = [
        a for a in row["AttributeDefinitions"] if a["AttributeName"] in used
    ]


def _update_stream(row: Row, spec: dict[str, Any], at_ms: int, several: bool) -> None:
    check_stream(spec)
    on = bool(row.get("StreamSpecification", {}).get("StreamEnabled"))
    if spec["StreamEnabled"] and on:
        raise invalid(f"Table already has an enabled stream: TableName: {row['TableName']}")
    if not spec["StreamEnabled"] and not on:
        raise invalid(f"Table has no stream to disable: TableName: {row['TableName']}")
    if spec["StreamEnabled"]:
        set_stream(row, spec, at_ms, several)
    else:
        row.pop("StreamSpecification", None)
        row["streams"][-1]["until_ms"] = at_ms
