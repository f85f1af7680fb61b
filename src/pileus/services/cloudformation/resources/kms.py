"""AWS::KMS::Key and AWS::KMS::Alias."""

from __future__ import annotations

import json
from typing import Any

from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    whole,
)

WINDOW_DAYS = 30


class Key:
    """A deleted stack's key waits for its end, as any key does."""

    replacing = frozenset({"KeySpec", "KeyUsage", "MultiRegion", "Origin"})

    async def create(self, site: Site, wish: Properties) -> Made:
        kind = {n: whole(wish.get(n)) for n in ("KeySpec", "KeyUsage", "MultiRegion", "Origin")}
        tags = [{"TagKey": t["Key"], "TagValue": t["Value"]} for t in tag_list(wish, site)]
        told = await site.call(
            "kms",
            "CreateKey",
            Policy=_policy(wish),
            Description=wish.get("Description"),
            Tags=tags or None,
            **kind,
        )
        key = told["KeyMetadata"]
        made = site.begun = Made(key["KeyId"], {"Arn": key["Arn"], "KeyId": key["KeyId"]})
        return await self.update(site, made, wish, {"EnableKeyRotation": False, **wish})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        key = {"KeyId": made.physical_id}
        if _policy(wish) != _policy(old) and _policy(wish) is not None:
            await site.call("kms", "PutKeyPolicy", Policy=_policy(wish), **key)
        if wish.get("Description") != old.get("Description"):
            told = wish.get("Description") or ""
            await site.call("kms", "UpdateKeyDescription", Description=told, **key)
        if whole(wish.get("EnableKeyRotation")):
            days = whole(wish.get("RotationPeriodInDays"))
            await site.call("kms", "EnableKeyRotation", RotationPeriodInDays=days, **key)
        elif whole(old.get("EnableKeyRotation")):
            await site.call("kms", "DisableKeyRotation", **key)
        on = whole(wish.get("Enabled", True))
        await site.call("kms", "EnableKey" if on else "DisableKey", **key)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        days = whole(had.get("PendingWindowInDays")) or WINDOW_DAYS
        place = {"KeyId": made.physical_id, "PendingWindowInDays": days}
        await site.gone("kms", "ScheduleKeyDeletion", "KMSInvalidStateException", **place)


def _policy(told: Properties) -> str | None:
    document = told.get("KeyPolicy")
    return document if document is None or isinstance(document, str) else json.dumps(document)


class Alias:
    replacing = frozenset({"AliasName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name, target = need(wish, "AliasName", "TargetKeyId")
        await site.call("kms", "CreateAlias", AliasName=name, TargetKeyId=target)
        return Made(name, {})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        (target,) = need(wish, "TargetKeyId")
        await site.call("kms", "UpdateAlias", AliasName=made.physical_id, TargetKeyId=target)
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("kms", "DeleteAlias", AliasName=made.physical_id)


KINDS: dict[str, Any] = {"AWS::KMS::Key": Key(), "AWS::KMS::Alias": Alias()}
