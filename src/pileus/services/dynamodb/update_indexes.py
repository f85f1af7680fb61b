"""UpdateTable's GlobalSecondaryIndexUpdates: indexes added to, changed in, taken from a table."""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb.billing import GLOBAL, set_maxima, set_units, set_warm
from pileus.services.dynamodb.create_table import new_index
from pileus.services.dynamodb.delete_table import gone_key
from pileus.services.dynamodb.faults import (
    bad_parameter,
    in_use,
    invalid,
    limit_exceeded,
    not_found,
)
from pileus.services.dynamodb.filling import place_key
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import (
    GLOBAL_MAX,
    UNITS_MAX,
    check_global_index,
    check_projected,
)

UPDATES_MAX = 5
KINDS = ("Update", "Create", "Delete")
Row = dict[str, Any]
Updates = list[dict[str, Any]]
# What may not change together with the set of indexes, and how the service says so.
ALONE = {
    "ProvisionedThroughput": "You cannot create or delete index while updating table IOPS",
    "StreamSpecification": "You cannot create or delete index while changing stream status",
    "DeletionProtectionEnabled": (
        "DeletionProtection modification must be the only operation in the request"
    ),
    "SSESpecification": (
        "Server-Side Encryption modification must be the only operation in the request"
    ),
    "TableClass": "TableClass modification must be the only operation in the request",
    "WarmThroughput": (
        "Create global secondary index cannot be specified when updating WarmThroughput"
    ),
}


def check_updates(updates: Updates) -> None:
    """What can be said of the updates before the table is known."""
    names: set[str] = set()
    for update in updates:
        found = [update[k] for k in KINDS if k in update]
        if not found:
            raise bad_parameter(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create,"
                " GlobalSecondaryIndexUpdate.Delete must not be null"
            )
        if len(found) > 1:
            raise bad_parameter(
                "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate"
                " object"
            )
        name = found[0]["IndexName"]
        if name in names:
            raise bad_parameter(
                "Only one global secondary index update per index is allowed simultaneously."
                f" Index: {name}"
            )
        names.add(name)


def check_against(row: Row, p: dict[str, Any], updates: Updates) -> None:
    """One index comes or goes at a time, and with nothing else."""
    changing = [u for u in updates if "Create" in u or "Delete" in u]
    busy = {
        i["IndexName"] for i in row.get(GLOBAL, ()) if i.get("IndexStatus", "ACTIVE") != "ACTIVE"
    }
    others = busy - {u.get("Delete", {}).get("IndexName") for u in changing}
    if len(changing) > 1 or len(updates) > UPDATES_MAX or (changing and others):
        raise limit_exceeded(
            "Subscriber limit exceeded: Only 1 online index can be created or deleted"
            " simultaneously per table"
        )
    if any("Create" in u for u in updates):
        for member, text in ALONE.items():
            # The mode's switch brings its units with it.
            if member in p and not (member == "ProvisionedThroughput" and "BillingMode" in p):
                raise bad_parameter(text)
    for update in updates:
        units = update.get("Update", {}).get("ProvisionedThroughput") or {}
        if any(n > UNITS_MAX for n in units.values()):
            raise invalid(
                "This operation cannot be performed with given input values. Please contact"
                " DynamoDB service team for more info: Action Blocked: IndexUpdate"
            )


def need_units(row: Row, updates: Updates) -> None:
    """A table that becomes provisioned needs units for each of its indexes."""
    given = {u["Update"]["IndexName"] for u in updates if "Update" in u}
    missing = [i["IndexName"] for i in row.get(GLOBAL, ()) if i["IndexName"] not in given]
    if missing:
        raise bad_parameter(
            f"ProvisionedThroughput must be specified for index: {','.join(missing)}"
        )


def apply_update(
    room: Room,
    row: Row,
    update: dict[str, Any],
    billing: str,
    switched: bool,
    at_ms: int,
    draft: Any,
) -> None:
    """One update. ``billing``: the table's mode after this request; ``switched``: by it."""
    present = {i["IndexName"]: i for i in row.get(GLOBAL, ())}
    if "Create" in update:
        _create(room, row, update["Create"], present, billing)
        return
    part = update.get("Delete") or update["Update"]
    name = part["IndexName"]
    index = present.get(name)
    if index is None:
        raise not_found(f"Requested resource not found: Index {name} for table {row['TableName']}")
    if "Update" in update:
        _change(index, part, billing, switched, at_ms)
        return
    if index.get("Backfilling") is False:
        raise in_use(
            "Attempt to change a resource which is still in use: Index creation is in resource"
            " allocation phase. Retry deletion during backfilling phase or when the index is"
            f" active. Table: {row['TableName']} Index: {name}"
        )
    row[GLOBAL] = [i for i in row[GLOBAL] if i is not index]
    if not row[GLOBAL]:
        del row[GLOBAL]
    rows = f"d:{row['id']}:{index['id']}"
    draft.put(gone_key(rows), b"")
    draft.delete(place_key(rows))


def _change(index: Row, part: dict[str, Any], billing: str, switched: bool, at_ms: int) -> None:
    name, on_demand = part["IndexName"], billing == "PAY_PER_REQUEST"
    if part.get("ProvisionedThroughput"):
        if on_demand:
            raise bad_parameter(
                f"The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST"
                " can be to OnDemandThroughput, WarmThroughput"
            )
        set_units(index, part["ProvisionedThroughput"], at_ms, switched, name)
    if part.get("OnDemandThroughput"):
        set_maxima(index, part["OnDemandThroughput"], on_demand, name)
    if part.get("WarmThroughput"):
        set_warm(index, part["WarmThroughput"], name)


def _create(
    room: Room, row: Row, part: dict[str, Any], present: dict[str, Any], billing: str
) -> None:
    names = [a["AttributeName"] for a in row["AttributeDefinitions"]]
    check_global_index(part, names, billing)
    local = [i["IndexName"] for i in row.get("LocalSecondaryIndexes", ())]
    if part["IndexName"] in present or part["IndexName"] in local:
        raise invalid("Attempting to create an index which already exists")
    if len(present) >= GLOBAL_MAX:
        raise limit_exceeded(
            "Subscriber limit exceeded: Number of global secondary indexes exceeds per-table limit"
            f" of {GLOBAL_MAX}"
        )
    index = new_index(room, row["TableArn"], part, billing)
    index |= {"IndexStatus": "CREATING", "Backfilling": False}
    row.setdefault(GLOBAL, []).append(index)
    check_projected(row)
