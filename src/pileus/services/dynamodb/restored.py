"""What a table restored from another's description is: what comes along, what may be overridden.

Not restored (Developer Guide, "Restore"): tags, stream settings, time to live, deletion protection,
point-in-time recovery, resource policies, scaling policies and alarms.
"""

from __future__ import annotations

import copy
import uuid
from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.billing import set_on_demand, throughput
from pileus.services.dynamodb.create_table import set_encryption
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import check_units

COPIED = (
    *("AttributeDefinitions", "KeySchema", "ProvisionedThroughput", "BillingModeSummary"),
    *("TableThroughputModeSummary", "OnDemandThroughput", "WarmThroughput", "SSEDescription"),
    *("LocalSecondaryIndexes", "GlobalSecondaryIndexes", "TableClassSummary"),
)
OVERRIDES = {
    "GlobalSecondaryIndexes": "GlobalSecondaryIndexOverride",
    "LocalSecondaryIndexes": "LocalSecondaryIndexOverride",
}


def restored(
    room: Room, call: Call, source: dict[str, Any], p: dict[str, Any], summary: dict[str, Any]
) -> dict[str, Any]:
    """The metadata row of the table a restore makes from ``source`` (a metadata row). ``p``: the
    request with its overrides."""
    name = p["TargetTableName"]
    d = {m: copy.deepcopy(source[m]) for m in COPIED if m in source}
    at_ms = room.clock.now_ms()
    d |= {
        "id": room.new_table_id(),
        "TableName": name,
        "TableStatus": "CREATING",
        "CreationDateTime": at_ms / 1000,
        "TableArn": f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}",
        "TableId": str(uuid.UUID(bytes=room.clock.random_bytes(16), version=4)),
        "DeletionProtectionEnabled": False,
        "tags": {},
        "RestoreSummary": {
            **summary,
            "SourceTableArn": source["TableArn"],
            "RestoreInProgress": True,
        },
    }
    for member, override in OVERRIDES.items():
        if override in p:
            _override_indexes(d, member, p[override])
        for index in d.get(member, ()):
            index["id"] = room.clock.random_bytes(3).hex()
            index["IndexArn"] = f"{d['TableArn']}/index/{index['IndexName']}"
            if "IndexStatus" in index:
                index["IndexStatus"] = "ACTIVE"
            index.pop("Backfilling", None)
    _drop_unused_definitions(d)
    _override_billing(d, p, at_ms)
    if "SSESpecificationOverride" in p:
        set_encryption(d, call, p["SSESpecificationOverride"])
    return d


def _override_indexes(d: dict[str, Any], member: str, wanted: list[dict[str, Any]]) -> None:
    """The indexes named, which must be the source's; an empty list leaves all out."""
    kept = []
    known = {i["IndexName"]: i for i in d.get(member, ())}
    for given in wanted:
        index = known.get(given["IndexName"])
        same = index is not None and all(
            index[m] == given[m] for m in ("KeySchema", "Projection") if m in given
        )
        if index is None or not same:
            raise invalid(
                f"The index {given['IndexName']} is not one of the source table's: its name, key"
                " schema and projection must match"
            )
        if "ProvisionedThroughput" in given:
            index["ProvisionedThroughput"] = throughput(given["ProvisionedThroughput"])
        if "OnDemandThroughput" in given:
            index["OnDemandThroughput"] = given["OnDemandThroughput"]
        kept.append(index)
    d.pop(member, None)
    if kept:
        d[member] = kept


def _drop_unused_definitions(d: dict[str, Any]) -> None:
    used = {k["AttributeName"] for k in d["KeySchema"]}
    for member in OVERRIDES:
        for index in d.get(member, ()):
            used |= {k["AttributeName"] for k in index["KeySchema"]}
    d["AttributeDefinitions"] = [a for a in d["AttributeDefinitions"] if a["AttributeName"] in used]


def _override_billing(d: dict[str, Any], p: dict[str, Any], at_ms: int) -> None:
    units = p.get("ProvisionedThroughputOverride")
    mode = p.get("BillingModeOverride")
    on_demand = d.get("BillingModeSummary", {}).get("BillingMode") == "PAY_PER_REQUEST"
    if mode == "PAY_PER_REQUEST" or (mode is None and on_demand):
        if units:
            raise bad_parameter(
                "ProvisionedThroughput cannot be overridden when BillingMode is PAY_PER_REQUEST"
            )
        set_on_demand(d, at_ms)
        if not on_demand:
            for index in (d, *d.get("GlobalSecondaryIndexes", ())):
                index["ProvisionedThroughput"] = throughput(None)
        if "OnDemandThroughputOverride" in p:
            d["OnDemandThroughput"] = p["OnDemandThroughputOverride"]
        return
    if on_demand:
        for member in ("BillingModeSummary", "TableThroughputModeSummary", "OnDemandThroughput"):
            d.pop(member, None)
        if not units:
            raise bad_parameter(
                "ReadCapacityUnits and WriteCapacityUnits must both be specified when BillingMode"
                " is PROVISIONED"
            )
    if units:
        check_units(units)
        d["ProvisionedThroughput"] = throughput(units)
    else:
        d["ProvisionedThroughput"] = throughput(
            {m: d["ProvisionedThroughput"][m] for m in ("ReadCapacityUnits", "WriteCapacityUnits")}
        )
    for index in d.get("GlobalSecondaryIndexes", ()):
        if not index["ProvisionedThroughput"].get("ReadCapacityUnits"):
            index["ProvisionedThroughput"] = copy.deepcopy(d["ProvisionedThroughput"])
