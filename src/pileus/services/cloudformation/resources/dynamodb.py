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
        changed = {
            k: whole(wish[k])
            for k in (
                "BillingMode",
                "ProvisionedThroughput",
                "DeletionProtectionEnabled",
                "TableClass",
            )
            if k in wish and wish[k] != old.get(k)
        }
        if changed:
            await site.call("dynamodb", "UpdateTable", TableName=name, **changed)
            await self._active(site, name)
        for change in self._index_changes(old, wish):
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
    def _index_changes(old: Properties, wish: Properties) -> list[dict[str, Any]]:
        before = {i["IndexName"]: i for i in old.get("GlobalSecondaryIndexes", [])}
        after = {i["IndexName"]: i for i in wish.get("GlobalSecondaryIndexes", [])}
        gone = [{"Delete": {"IndexName": n}} for n in before if before[n] != after.get(n)]
        new = [{"Create": whole(after[n])} for n in after if after[n] != before.get(n)]
        return [*gone, *new]

    @staticmethod
    async def _time_to_live(site: Site, name: str, old: Properties, wish: Properties) -> None:
        setting = wish.get("TimeToLiveSpecification")
        if setting and setting != old.get("TimeToLiveSpecification"):
            await site.call(
                "dynamodb",
                "UpdateTimeToLive",
                TableName=name,
                TimeToLiveSpecification=whole(setting),
            )

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


KINDS: dict[str, Any] = {"AWS::DynamoDB::Table": Table()}
