"""What of a table operations of their own set: when items expire, whether the table is recorded,
tags, policies. Each brings the table from a template's ``old`` properties to those it wishes."""

from __future__ import annotations

import json
from typing import Any

from pileus.services.cloudformation.resources.kind import Properties, Site, need, tag_list, whole

SERVICE = "dynamodb"
PERIOD_DAYS = 35  # of a template that tells none


async def expire(site: Site, name: str, old: Properties, wish: Properties) -> None:
    """Time to live. What the template no longer names is off; another attribute is refused in
    DynamoDB's words until it was off, as CloudFormation's reference tells."""
    setting = whole(wish.get("TimeToLiveSpecification"))
    had = whole(old.get("TimeToLiveSpecification"))
    if setting is None and had and had.get("Enabled"):
        setting = had | {"Enabled": False}
    if setting is None or setting == had:
        return
    need(setting, "Enabled")
    told = (await site.call(SERVICE, "DescribeTimeToLive", TableName=name))["TimeToLiveDescription"]
    now = told.get("AttributeName") if told["TimeToLiveStatus"] in ("ENABLED", "ENABLING") else None
    wanted = setting.get("AttributeName") if setting["Enabled"] else None
    if now != wanted:
        if now is not None and wanted is None:
            setting = setting | {"AttributeName": now}
        params = {"TableName": name, "TimeToLiveSpecification": setting}
        await site.call(SERVICE, "UpdateTimeToLive", **params)


async def record(site: Site, name: str, old: Properties, wish: Properties) -> None:
    """Point-in-time recovery; what the template no longer names is off."""
    key = "PointInTimeRecoverySpecification"
    if wish.get(key) == old.get(key):
        return
    setting = {"PointInTimeRecoveryEnabled": False} | whole(wish.get(key) or {})
    if setting["PointInTimeRecoveryEnabled"]:
        setting = {"RecoveryPeriodInDays": PERIOD_DAYS} | setting
    told = await site.call(SERVICE, "DescribeContinuousBackups", TableName=name)
    now = told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"]
    is_on = now["PointInTimeRecoveryStatus"] == "ENABLED"
    if is_on or setting["PointInTimeRecoveryEnabled"]:
        params: dict[str, Any] = {"TableName": name, key: setting}
        await site.call(SERVICE, "UpdateContinuousBackups", **params)


async def tag(site: Site, arn: str, old: Properties, wish: Properties) -> None:
    before, after = tag_list(old, site), tag_list(wish, site)
    kept = {t["Key"] for t in after}
    gone = [t["Key"] for t in before if t["Key"] not in kept]
    if gone:
        await site.call(SERVICE, "UntagResource", ResourceArn=arn, TagKeys=gone)
    if after and after != before:
        await site.call(SERVICE, "TagResource", ResourceArn=arn, Tags=after)


async def allow(site: Site, arn: str, old: Properties, wish: Properties) -> None:
    """The policy of a table or a stream."""
    before, after = old.get("ResourcePolicy"), wish.get("ResourcePolicy")
    if after and after != before:
        (document,) = need(after, "PolicyDocument")
        text = document if isinstance(document, str) else json.dumps(document)
        await site.call(SERVICE, "PutResourcePolicy", ResourceArn=arn, Policy=text)
    elif before and not after:
        await site.call(SERVICE, "DeleteResourcePolicy", ResourceArn=arn)
