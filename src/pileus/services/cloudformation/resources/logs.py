"""AWS::Logs::LogGroup."""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation.resources.kind import Made, Properties, Site, whole


class LogGroup:
    replacing = frozenset({"LogGroupName"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("LogGroupName") or site.name(512)
        await site.call("logs", "CreateLogGroup", logGroupName=name)
        site.begun = Made(name)
        return await self.update(site, site.begun, {}, wish)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name, days = made.physical_id, wish.get("RetentionInDays")
        if days is not None:
            await site.call(
                "logs", "PutRetentionPolicy", logGroupName=name, retentionInDays=whole(days)
            )
        elif "RetentionInDays" in old:
            await site.gone("logs", "DeleteRetentionPolicy", logGroupName=name)
        return Made(name, {"Arn": site.arn("logs", f"log-group:{name}:*")})

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("logs", "DeleteLogGroup", logGroupName=made.physical_id)


KINDS: dict[str, Any] = {"AWS::Logs::LogGroup": LogGroup()}
