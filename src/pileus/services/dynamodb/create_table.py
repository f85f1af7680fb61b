"""CreateTable."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import in_use
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import check_new_table
from pileus.services.dynamodb.tagging import check_tags

INDEXES = ("LocalSecondaryIndexes", "GlobalSecondaryIndexes")


async def create_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Create an empty table. It is ready at once; the answer still says CREATING, as AWS's does."""
    check_new_table(p)
    check_tags(p.get("Tags"))
    name = p["TableName"].rsplit("/", 1)[-1]
    description = describe_new(room, call, name, p)
    key = meta_key(f"{call.account}/{call.region}", name)

    def create(draft: Any) -> None:
        if draft.get(key) is not None:
            raise in_use(f"Table already exists: {name}")
        draft.put_json(key, description)

    await room.store.transact(create, call.invocation_id)
    shown = describe(room, description)
    shown["TableStatus"] = "CREATING"
    for member in ("BillingModeSummary", "TableThroughputModeSummary"):
        shown.get(member, {}).pop("LastUpdateToPayPerRequestDateTime", None)
    for index in shown.get("GlobalSecondaryIndexes", ()):
        index["IndexStatus"] = "CREATING"
    return {"TableDescription": shown}


def describe_new(room: Room, call: Call, name: str, p: dict[str, Any]) -> dict[str, Any]:
    """The metadata row of an empty table that is ready."""
    at_ms = room.clock.now_ms()
    arn = f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"
    d: dict[str, Any] = {
        "id": room.clock.random_bytes(6).hex(),
        "AttributeDefinitions": p["AttributeDefinitions"],
        "TableName": name,
        "KeySchema": p["KeySchema"],
        "TableStatus": "ACTIVE",
        "CreationDateTime": at_ms / 1000,
        "ProvisionedThroughput": throughput(p.get("ProvisionedThroughput")),
        "TableArn": arn,
        "TableId": str(uuid.UUID(bytes=room.clock.random_bytes(16), version=4)),
        "DeletionProtectionEnabled": bool(p.get("DeletionProtectionEnabled")),
        "tags": {t["Key"]: t["Value"] for t in p.get("Tags") or ()},
    }
    if p.get("BillingMode") == "PAY_PER_REQUEST":
        set_on_demand(d, at_ms)
    for member in INDEXES:
        if p.get(member):
            d[member] = [
                new_index(room, arn, i, member == "GlobalSecondaryIndexes") for i in p[member]
            ]
    for member in ("OnDemandThroughput", "WarmThroughput"):
        if member in p:
            d[member] = p[member]
    if "TableClass" in p:
        d["TableClassSummary"] = {"TableClass": p["TableClass"]}
    set_stream(d, p.get("StreamSpecification"), at_ms)
    set_encryption(d, call, p.get("SSESpecification"))
    return d


def throughput(units: dict[str, Any] | None) -> dict[str, Any]:
    """A ProvisionedThroughputDescription."""
    given = units or {"ReadCapacityUnits": 0, "WriteCapacityUnits": 0}
    return {"NumberOfDecreasesToday": 0, **given}


def set_on_demand(d: dict[str, Any], at_ms: int) -> None:
    """Mark a description as pay per request since ``at_ms``."""
    since = {"LastUpdateToPayPerRequestDateTime": at_ms / 1000}
    d["BillingModeSummary"] = {"BillingMode": "PAY_PER_REQUEST", **since}
    d["TableThroughputModeSummary"] = {"TableThroughputMode": "PAY_PER_REQUEST", **since}


def new_index(room: Room, table_arn: str, p: dict[str, Any], is_global: bool) -> dict[str, Any]:
    """An index's description from its definition; its ``id`` tells it from one of the same name
    before or after it."""
    d = {
        "id": room.clock.random_bytes(3).hex(),
        "IndexName": p["IndexName"],
        "KeySchema": p["KeySchema"],
        "Projection": p["Projection"],
        "IndexArn": f"{table_arn}/index/{p['IndexName']}",
    }
    if is_global:
        d["IndexStatus"] = "ACTIVE"
        d["ProvisionedThroughput"] = throughput(p.get("ProvisionedThroughput"))
        for member in ("OnDemandThroughput", "WarmThroughput"):
            if member in p:
                d[member] = p[member]
    return d


def set_stream(d: dict[str, Any], spec: dict[str, Any] | None, at_ms: int) -> None:
    """Give a description its stream, labelled by the time it was switched on."""
    if not spec or not spec["StreamEnabled"]:
        return
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    label = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}"
    d["StreamSpecification"] = spec
    d["LatestStreamLabel"] = label
    told = {"label": label, "view": spec["StreamViewType"], "from_ms": at_ms}
    d["streams"] = [*d.get("streams", ()), told]
    d["LatestStreamArn"] = f"{d['TableArn']}/stream/{label}"


def set_encryption(d: dict[str, Any], call: Call, spec: dict[str, Any] | None) -> None:
    """SSEDescription: only a customer's or the account's key is described; AWS's own is not."""
    if not spec or not spec.get("Enabled"):
        d.pop("SSEDescription", None)
        return
    key = spec.get("KMSMasterKeyId") or "alias/aws/dynamodb"
    if not key.startswith("arn:"):
        key = f"arn:aws:kms:{call.region}:{call.account}:key/{key}"
    d["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}
