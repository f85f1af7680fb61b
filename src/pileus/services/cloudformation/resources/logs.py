"""AWS::Logs::LogGroup."""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation.resources.kind import Made, Properties, Site, tag_map, whole


class LogGroup:
    replacing = frozenset({"LogGroupName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("LogGroupName") or site.name(512)
        tags = tag_map(wish, site) or None
        kind = wish.get("LogGroupClass")
        await site.call("logs", "CreateLogGroup", logGroupName=name, tags=tags, logGroupClass=kind)
        site.begun = Made(name)
        return await self.update(site, site.begun, {"Tags": wish.get("Tags")}, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name, days = made.physical_id, wish.get("RetentionInDays")
        if days is not None:
            await site.call(
                "logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=whole(days)
            )
        elif "RetentionInDays" in old:
            await site.gone("logs", "DeleteRetentionPolicy", logGroupName=name)
        if wish.get("Tags") != old.get("Tags"):
            await self._retag(site, name, old, wish)
        return Made(name, {"Arn": site.arn("logs", f"log-group:{name}:*")})

    async def _retag(self, site: Site, name: str, old: Properties, wish: Properties) -> None:
        before, after = tag_map(old, site), tag_map(wish, site)
        arn = site.arn("logs", f"log-group:{name}")
        if after:
            await site.call("logs", "TagResource", resourceArn=arn, tags=after)
        gone = sorted(before.keys() - after.keys())
        if gone:
            await site.call("logs", "UntagResource", resourceArn=arn, tagKeys=gone)

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("logs", "DeleteLogGroup", logGroupName=made.physical_id)


KINDS: dict[str, Any] = {"AWS::Logs::LogGroup": LogGroup()}
