"""CreateTable."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.billing import (
    GLOBAL,
    set_maxima,
    set_on_demand,
    set_warm,
    throughput,
)
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import in_use
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.settings import check_new_table
from pileus.services.dynamodb.tagging import check_tags

INDEXES = ("LocalSecondaryIndexes", "GlobalSecondaryIndexes")
OWN_KEY = "alias/aws/dynamodb"


async def create_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Create an empty table. It is ready at once; the answer still says CREATING, as AWS's does."""
    check_new_table(p)
    check_tags(p.get("Tags"))
    name = p["TableName"].rsplit("/", 1)[-1]
    p = await with_own_key(room, call, p, "SSESpecification")
    description = describe_new(room, call, name, p)
    key = meta_key(f"{call.account}/{call.region}", name)

    def create(draft: Any) -> None:
        if draft.get(key) is not None:
            raise in_use(f"Table already exists: {name}")
        draft.put_json(key, description)

    await room.store.transact(create, call.invocation_id)
    return {"TableDescription": _shown(describe(room, description), p)}


def _shown(shown: dict[str, Any], p: dict[str, Any]) -> dict[str, Any]:
    """The answer: warmth is in DescribeTable's only, unless one was asked for."""
    shown["TableStatus"] = "CREATING"
    for member in ("BillingModeSummary", "TableThroughputModeSummary"):
        shown.get(member, {}).pop("LastUpdateToPayPerRequestDateTime", None)
    del shown["WarmThroughput"]
    if "WarmThroughput" in p:
        shown["WarmThroughput"] = {**p["WarmThroughput"], "Status": "UPDATING"}
    for index in shown.get("GlobalSecondaryIndexes", ()):
        index["IndexStatus"] = "CREATING"
        del index["WarmThroughput"]
    return shown


def describe_new(room: Room, call: Call, name: str, p: dict[str, Any]) -> dict[str, Any]:
    """The metadata row of an empty table that is ready."""
    at_ms = room.clock.now_ms()
    arn = f"arn:aws:dynamodb:{call.region}:{call.account}:table/{name}"
    d: dict[str, Any] = {
        "id": room.new_table_id(),
        "AttributeDefinitions": p["AttributeDefinitions"],
        "TableName": name,
        "KeySchema": p["KeySchema"],
        "TableStatus": "ACTIVE",
        "CreationDateTime": at_ms / 1000,
        "TableArn": arn,
        "TableId": str(uuid.UUID(bytes=room.clock.random_bytes(16), version=4)),
        "DeletionProtectionEnabled": bool(p.get("DeletionProtectionEnabled")),
        "tags": {t["Key"]: t["Value"] for t in p.get("Tags") or ()},
    }
    billing = p.get("BillingMode") or "PROVISIONED"
    if billing == "PAY_PER_REQUEST":
        set_on_demand(d, at_ms)
    _set_capacity(d, p, billing)
    for member in INDEXES:
        if p.get(member):
            mode = billing if member == GLOBAL else ""
            d[member] = [new_index(room, arn, i, mode) for i in p[member]]
    if "TableClass" in p:
        d["TableClassSummary"] = {"TableClass": p["TableClass"]}
    set_stream(d, p.get("StreamSpecification"), at_ms, room.store.tablets.count > 1)
    set_encryption(d, call, p.get("SSESpecification"))
    return d


def new_index(room: Room, table_arn: str, p: dict[str, Any], billing: str = "") -> dict[str, Any]:
    """An index's description from its definition; its ``id`` tells it from one of the same name
    before or after it. ``billing``: of the table of a global index."""
    name = p["IndexName"]
    d = {
        "id": room.clock.random_bytes(3).hex(),
        "IndexName": name,
        "KeySchema": p["KeySchema"],
        "Projection": p["Projection"],
        "IndexArn": f"{table_arn}/index/{name}",
    }
    if billing:
        d["IndexStatus"] = "ACTIVE"
        _set_capacity(d, p, billing, name)
    return d


def _set_capacity(d: dict[str, Any], p: dict[str, Any], billing: str, index: str = "") -> None:
    """The capacity of a new table or index."""
    d["ProvisionedThroughput"] = throughput(p.get("ProvisionedThroughput"))
    set_maxima(d, p.get("OnDemandThroughput") or {}, billing == "PAY_PER_REQUEST", index, new=True)
    set_warm(d, p.get("WarmThroughput") or {}, index, new=True)


def set_stream(d: dict[str, Any], spec: dict[str, Any] | None, at_ms: int, several: bool) -> None:
    """Give a description its stream, labelled by the time it was switched on. Where shards are
    ``several`` its records lie beside the table's items."""
    if not spec or not spec["StreamEnabled"]:
        return
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    label = moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{at_ms % 1000:03d}"
    d["StreamSpecification"] = spec
    d["LatestStreamLabel"] = label
    told = {"label": label, "view": spec["StreamViewType"], "from_ms": at_ms}
    if several:
        told["beside"] = True
    d["streams"] = [*d.get("streams", ()), told]
    d["LatestStreamArn"] = f"{d['TableArn']}/stream/{label}"


async def with_own_key(room: Room, call: Call, p: dict[str, Any], member: str) -> dict[str, Any]:
    """``p`` with the account's key for this service named in its encryption settings, where they
    want one and name none. The key is made when it is first asked for."""
    spec = p.get(member) or {}
    if not spec.get("Enabled") or spec.get("KMSMasterKeyId"):
        return p
    told = await room.parts.dispatch(
        *("kms", "DescribeKey", {"KeyId": OWN_KEY}),
        principal=call.principal,
        region=call.region,
        context={"kms:ViaService": f"dynamodb.{call.region}.amazonaws.com"},
    )
    return {**p, member: {**spec, "KMSMasterKeyId": told["KeyMetadata"]["Arn"]}}


def set_encryption(d: dict[str, Any], call: Call, spec: dict[str, Any] | None) -> None:
    """SSEDescription: only a customer's or the account's key is described; AWS's own is not."""
    if not spec or not spec.get("Enabled"):
        d.pop("SSEDescription", None)
        return
    key = spec["KMSMasterKeyId"]  # the account's own: with_own_key
    if not key.startswith("arn:"):
        key = f"arn:aws:kms:{call.region}:{call.account}:key/{key}"
    d["SSEDescription"] = {"Status": "ENABLED", "SSEType": "KMS", "KMSMasterKeyArn": key}
