"""AWS::DynamoDB::Table."""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import Made, Properties, Site, tag_list, whole

PASSED = (
    "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput", "TableClass",
    "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "DeletionProtectionEnabled",
)  # fmt: skip


class Table:
    replacing = frozenset({"TableName", "KeySchema", "LocalSecondaryIndexes"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("TableName") or site.name(255)
        params: dict[str, Any] = {k: whole(wish[k]) for k in PASSED if k in wish}
        if "ProvisionedThroughput" not in wish:
            params.setdefault("BillingMode", "PAY_PER_REQUEST")
        if "StreamSpecification" in wish:
            params["StreamSpecification"] = {"StreamEnabled": True, **wish["StreamSpecification"]}
        tags = tag_list(wish, site)
        await site.call("dynamodb", "CreateTable", TableName=name, Tags=tags or None, **params)
        site.begun = Made(name)
        await self._active(site, name)
        await self._time_to_live(site, name, {}, wish)
        return await self._made(site, name)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name = made.physical_id
        table = (await site.call("dynamodb", "DescribeTable", TableName=name))["Table"]
        changed = _changed(table, old, wish)
        if changed:
            await site.call("dynamodb", "UpdateTable", TableName=name, **changed)
            await self._active(site, name)
        present = {i["IndexName"] for i in table.get("GlobalSecondaryIndexes", [])}
        for change in self._index_changes(old, wish, present):
            await site.call(
                "dynamodb",
                "UpdateTable",
                TableName=name,
                AttributeDefinitions=wish["AttributeDefinitions"],
                GlobalSecondaryIndexUpdates=[change],
            )
            await self._active(site, name)
        await self._time_to_live(site, name, old, wish)
        return await self._made(site, name)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("dynamodb", "DeleteTable", TableName=made.physical_id)

    @staticmethod
    def _index_changes(old: Properties, wish: Properties, present: set[str]) -> list[Properties]:
        """``present``: the indexes there are, which a step that went half way may have changed."""
        before = {i["IndexName"]: i for i in old.get("GlobalSecondaryIndexes", [])}
        after = {i["IndexName"]: i for i in wish.get("GlobalSecondaryIndexes", [])}
        gone = [n for n in before if before[n] != after.get(n) and n in present]
        new = [n for n in after if n not in present - set(gone)]
        created = [{"Create": whole(after[n])} for n in new]
        return [*({"Delete": {"IndexName": n}} for n in gone), *created]

    @staticmethod
    async def _time_to_live(site: Site, name: str, old: Properties, wish: Properties) -> None:
        setting = whole(wish.get("TimeToLiveSpecification"))
        had = whole(old.get("TimeToLiveSpecification"))
        if setting is None and had and had.get("Enabled"):
            setting = had | {"Enabled": False}  # what the template no longer names is off
        if not setting or setting == had:
            return
        told = await site.call("dynamodb", "DescribeTimeToLive", TableName=name)
        is_on = told["TimeToLiveDescription"]["TimeToLiveStatus"] in ("ENABLED", "ENABLING")
        if is_on != bool(setting["Enabled"]):
            params = {"TableName": name, "TimeToLiveSpecification": setting}
            await site.call("dynamodb", "UpdateTimeToLive", **params)

    @staticmethod
    async def _active(site: Site, name: str) -> None:
        for _ in range(300):
            table = (await site.call("dynamodb", "DescribeTable", TableName=name))["Table"]
            indexes = table.get("GlobalSecondaryIndexes", [])
            if table["TableStatus"] == "ACTIVE" and all(
                i.get("IndexStatus", "ACTIVE") == "ACTIVE" for i in indexes
            ):
                return
            await asyncio.sleep(0.1)
        raise AwsError("InternalFailure", f"table {name} does not become active", 500)

    @staticmethod
    async def _made(site: Site, name: str) -> Made:
        table = (await site.call("dynamodb", "DescribeTable", TableName=name))["Table"]
        attributes = {"Arn": table["TableArn"]}
        if "LatestStreamArn" in table:
            attributes["StreamArn"] = table["LatestStreamArn"]
        return Made(name, attributes)


def _changed(table: dict[str, Any], old: Properties, wish: Properties) -> dict[str, Any]:
    """What ``UpdateTable`` is to change of a described table: a step that went half way may have
    changed some of it. What the template no longer names goes back to its default."""
    on_demand = "PAY_PER_REQUEST"
    units = table.get("ProvisionedThroughput", {})
    throughput = {n: units.get(n) for n in ("ReadCapacityUnits", "WriteCapacityUnits")}
    current = {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "ProvisionedThroughput": throughput,
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "TableClass": table.get("TableClassSummary", {}).get("TableClass", "STANDARD"),
    }
    defaults = {
        "BillingMode": "PROVISIONED" if "ProvisionedThroughput" in wish else on_demand,
        "DeletionProtectionEnabled": False,
        "TableClass": "STANDARD",
    }
    gone = {n: v for n, v in defaults.items() if n in old and n not in wish}
    wanted = gone | {n: whole(wish[n]) for n in current if n in wish and wish[n] != old.get(n)}
    if wanted.get("BillingMode", current["BillingMode"]) == on_demand:
        wanted.pop("ProvisionedThroughput", None)
    elif current["BillingMode"] == on_demand and "ProvisionedThroughput" in wish:
        wanted["ProvisionedThroughput"] = whole(wish["ProvisionedThroughput"])
    return {n: v for n, v in wanted.items() if v != current[n]}


KINDS: dict[str, Any] = {"AWS::DynamoDB::Table": Table()}
