"""AWS::DynamoDB::Table: what ``CreateTable`` and ``UpdateTable`` set. The rest is in
``dynamodb_settings``.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-dynamodb-table.html
"""

from __future__ import annotations

import asyncio
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources import dynamodb_settings as settings
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    Unchanged,
    need,
    tag_list,
    whole,
)

PASSED = (
    "AttributeDefinitions", "KeySchema", "BillingMode", "ProvisionedThroughput", "TableClass",
    "GlobalSecondaryIndexes", "LocalSecondaryIndexes", "DeletionProtectionEnabled",
    "OnDemandThroughput", "WarmThroughput",
)  # fmt: skip
NOT_OFFERED = ("ImportSourceSpecification", "KinesisStreamSpecification")
SERVICE = "dynamodb"
GLOBAL = "GlobalSecondaryIndexes"
UNITS = ("ReadCapacityUnits", "WriteCapacityUnits")
ON_DEMAND = "PAY_PER_REQUEST"


class Table:
    replacing = frozenset({"TableName", "KeySchema", "LocalSecondaryIndexes"})

    async def create(self, site: Site, wish: Properties) -> Made:
        _check_offered(wish)
        name = wish.get("TableName") or site.name(255)
        params: dict[str, Any] = {k: whole(wish[k]) for k in PASSED if k in wish}
        if "ProvisionedThroughput" not in wish:
            params.setdefault("BillingMode", ON_DEMAND)
        if view := _view(wish):
            params["StreamSpecification"] = {"StreamEnabled": True, "StreamViewType": view}
        if "SSESpecification" in wish:
            params["SSESpecification"] = _encryption(wish)
        tags = tag_list(wish, site)
        await site.call(SERVICE, "CreateTable", TableName=name, Tags=tags or None, **params)
        site.begun = Made(name)
        await self._active(site, name)
        return await self._set_up(site, name, {"Tags": wish.get("Tags", [])}, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        _check_offered(wish)
        _check_indexes(old, wish)
        name = made.physical_id
        table = (await site.call(SERVICE, "DescribeTable", TableName=name))["Table"]
        changed = _changed(table, old, wish)
        if changed:
            await self._change(site, name, **changed)
        for view in _stream_changes(table, old, wish):
            on = {"StreamEnabled": True, "StreamViewType": view}
            spec = on if view else {"StreamEnabled": False}
            await self._change(site, name, StreamSpecification=spec)
        for change in _index_changes(table, old, wish):
            (defined,) = need(wish, "AttributeDefinitions")
            await self._change(
                site,
                name,
                AttributeDefinitions=whole(defined),
                GlobalSecondaryIndexUpdates=[change],
            )
        return await self._set_up(site, name, old, wish)

    async def _change(self, site: Site, name: str, **what: Any) -> None:
        await site.call(SERVICE, "UpdateTable", TableName=name, **what)
        await self._active(site, name)

    async def _set_up(self, site: Site, name: str, old: Properties, wish: Properties) -> Made:
        """What other operations than UpdateTable set; the table as it is then."""
        made = await self._made(site, name)
        await settings.expire(site, name, old, wish)
        await settings.record(site, name, old, wish)
        await settings.tag(site, made.attributes["Arn"], old, wish)
        await settings.allow(site, made.attributes["Arn"], old, wish)
        if "StreamArn" in made.attributes:
            before, after = (p.get("StreamSpecification", {}) for p in (old, wish))
            if _view(old) != _view(wish):
                before = {}  # of a stream that is new
            await settings.allow(site, made.attributes["StreamArn"], before, after)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone(SERVICE, "DeleteTable", TableName=made.physical_id)

    @staticmethod
    async def _active(site: Site, name: str) -> None:
        for _ in range(300):
            table = (await site.call(SERVICE, "DescribeTable", TableName=name))["Table"]
            indexes = table.get("GlobalSecondaryIndexes", [])
            if table["TableStatus"] == "ACTIVE" and all(
                i.get("IndexStatus", "ACTIVE") == "ACTIVE" for i in indexes
            ):
                return
            await asyncio.sleep(0.1)
        raise AwsError("InternalFailure", f"table {name} does not become active", 500)

    @staticmethod
    async def _made(site: Site, name: str) -> Made:
        table = (await site.call(SERVICE, "DescribeTable", TableName=name))["Table"]
        attributes = {"Arn": table["TableArn"]}
        if "LatestStreamArn" in table:
            attributes["StreamArn"] = table["LatestStreamArn"]
        return Made(name, attributes)


def _check_offered(wish: Properties) -> None:
    if "StreamSpecification" in wish:
        need(wish["StreamSpecification"], "StreamViewType")
    insights = whole(wish.get("ContributorInsightsSpecification", {})).get("Enabled")
    asked = [n for n in NOT_OFFERED if n in wish]
    for name in [*asked, *(["ContributorInsightsSpecification"] if insights else [])]:
        raise Unchanged("ValidationError", f"{name} is not offered by Pileus")


def _indexes(properties: Properties) -> dict[str, Properties]:
    """A template's global indexes by name."""
    return {str(i.get("IndexName", "")): whole(i) for i in properties.get(GLOBAL, [])}


def _shape(index: Properties) -> tuple[Any, Any]:
    """What of an index never changes."""
    return index.get("KeySchema"), index.get("Projection")


def _check_indexes(old: Properties, wish: Properties) -> None:
    """CloudFormation's own limits of one update, in its words."""
    before, after = _indexes(old), _indexes(wish)
    if any(_shape(before[n]) != _shape(after[n]) for n in before.keys() & after.keys()):
        raise Unchanged(
            "ValidationError",
            "Cannot update GSI's properties other than Provisioned Throughput and Contributor"
            " Insights Specification. You can create a new GSI with a different name.",
        )
    if len(before.keys() ^ after.keys()) > 1:
        raise Unchanged(
            "ValidationError",
            "Cannot perform more than one GSI creation or deletion in a single update",
        )


def _index_changes(table: dict[str, Any], old: Properties, wish: Properties) -> list[Properties]:
    """The index that goes and the one that comes, but for what a step that went half way did."""
    before, after = _indexes(old), _indexes(wish)
    present = {i["IndexName"] for i in table.get(GLOBAL, [])}
    gone = [{"Delete": {"IndexName": n}} for n in before if n not in after and n in present]
    return [*gone, *({"Create": i} for n, i in after.items() if n not in present)]


def _view(properties: Properties) -> str:
    """What the table's stream is to show; nothing: there is none."""
    return str(properties.get("StreamSpecification", {}).get("StreamViewType", ""))


def _stream_changes(table: dict[str, Any], old: Properties, wish: Properties) -> list[str]:
    """The views to set one after the other (nothing: off). Another view is another stream."""
    now, wanted = _view(table), _view(wish)
    if wanted in (now, _view(old)):
        return []
    return [view for view, due in (("", now), (wanted, wanted)) if due]


def _encryption(wish: Properties) -> dict[str, Any]:
    """``SSESpecification`` as the API has it; what a template does not name is off."""
    told = whole(wish.get("SSESpecification", {}))
    rest = {n: told[n] for n in ("SSEType", "KMSMasterKeyId") if n in told}
    return {"Enabled": told.get("SSEEnabled", False), **rest}


def _units(holder: dict[str, Any]) -> dict[str, Any]:
    """The units a described table or index is provisioned with."""
    return {n: holder.get("ProvisionedThroughput", {}).get(n) for n in UNITS}


def _maxima(holder: dict[str, Any], wish: Properties) -> dict[str, int]:
    """What OnDemandThroughput is to change of a described table or index; -1 takes one away."""
    now, wanted = holder.get("OnDemandThroughput", {}), whole(wish.get("OnDemandThroughput", {}))
    return {n: wanted.get(n, -1) for n in now | wanted if wanted.get(n) != now.get(n)}


def _changed(table: dict[str, Any], old: Properties, wish: Properties) -> dict[str, Any]:
    """What ``UpdateTable`` is to change of a described table: a step that went half way may have
    changed some of it. What the template no longer names goes back to its default."""
    current = {
        "BillingMode": table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED"),
        "ProvisionedThroughput": _units(table),
        "DeletionProtectionEnabled": table.get("DeletionProtectionEnabled", False),
        "TableClass": table.get("TableClassSummary", {}).get("TableClass", "STANDARD"),
    }
    defaults = {
        "BillingMode": "PROVISIONED" if "ProvisionedThroughput" in wish else ON_DEMAND,
        "DeletionProtectionEnabled": False,
        "TableClass": "STANDARD",
    }
    gone = {n: v for n, v in defaults.items() if n in old and n not in wish}
    wanted = gone | {n: whole(wish[n]) for n in current if n in wish and wish[n] != old.get(n)}
    if "BillingMode" not in wish and "ProvisionedThroughput" in {*old, *wish}:
        wanted["BillingMode"] = defaults["BillingMode"]
    on_demand = wanted.get("BillingMode", current["BillingMode"]) == ON_DEMAND
    if on_demand:
        wanted.pop("ProvisionedThroughput", None)
    elif current["BillingMode"] == ON_DEMAND and "ProvisionedThroughput" in wish:
        wanted["ProvisionedThroughput"] = whole(wish["ProvisionedThroughput"])
    changed = {n: v for n, v in wanted.items() if v != current[n]}
    if updates := _index_updates(table, old, wish, on_demand):
        changed["GlobalSecondaryIndexUpdates"] = updates
    if old.get("OnDemandThroughput") != wish.get("OnDemandThroughput") and on_demand:
        changed["OnDemandThroughput"] = _maxima(table, wish)
    if wish.get("WarmThroughput", old.get("WarmThroughput")) != old.get("WarmThroughput"):
        changed["WarmThroughput"] = whole(wish["WarmThroughput"])
    if old.get("SSESpecification") != wish.get("SSESpecification"):
        changed["SSESpecification"] = _encryption(wish)
    return {n: v for n, v in changed.items() if v != {}}


def _index_updates(
    table: dict[str, Any], old: Properties, wish: Properties, on_demand: bool
) -> list[Properties]:
    """The throughput of indexes that stay. ``on_demand``: the table's mode after the update."""
    before, after = _indexes(old), _indexes(wish)
    updates = []
    for index in table.get(GLOBAL, []):
        name = index["IndexName"]
        had, told = before.get(name, {}), after.get(name)
        if told is None:
            continue
        units, maxima = told.get("ProvisionedThroughput"), _maxima(index, told)
        part: Properties = {}
        if units and not on_demand and units != _units(index):
            part["ProvisionedThroughput"] = units
        if maxima and on_demand and had.get("OnDemandThroughput") != told.get("OnDemandThroughput"):
            part["OnDemandThroughput"] = maxima
        if "WarmThroughput" in told and told["WarmThroughput"] != had.get("WarmThroughput"):
            part["WarmThroughput"] = told["WarmThroughput"]
        if part:
            updates.append({"Update": {"IndexName": name, **part}})
    return updates


KINDS: dict[str, Any] = {"AWS::DynamoDB::Table": Table()}
