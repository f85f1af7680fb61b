"""AWS::SSM::Parameter."""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources.kind import (
    Made,
    Properties,
    Site,
    need,
    tag_list,
    tag_map,
)

MEMBERS = ("Description", "AllowedPattern", "DataType", "Policies", "Tier")


class Parameter:
    replacing = frozenset({"Name"})

    async def create(self, site: Site, wish: Properties) -> Made:
        name = wish.get("Name") or site.name(1000)
        return await self._put(site, name, wish, Tags=tag_list(wish, site) or None)

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        name, (have, want) = made.physical_id, (tag_map(p, site) for p in (old, wish))
        told = await self._put(site, name, wish, Overwrite=True)
        place = {"ResourceType": "Parameter", "ResourceId": name}
        if want != have:
            if gone := sorted(have.keys() - want.keys()):
                await site.call("ssm", "RemoveTagsFromResource", TagKeys=gone, **place)
            if want:
                tags = tag_list(wish, site)
                await site.call("ssm", "AddTagsToResource", Tags=tags, **place)
        return told

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await site.gone("ssm", "DeleteParameter", Name=made.physical_id)

    @staticmethod
    async def _put(site: Site, name: str, wish: Properties, **more: Any) -> Made:
        kind, value = need(wish, "Type", "Value")
        if kind == "SecureString":
            raise AwsError("ValidationError", "CloudFormation makes no SecureString parameters")
        told = {n: wish[n] for n in MEMBERS if n in wish}
        value = str(value)
        await site.call("ssm", "PutParameter", Name=name, Type=kind, Value=value, **told, **more)
        return Made(name, {"Type": kind, "Value": value})


KINDS: dict[str, Any] = {"AWS::SSM::Parameter": Parameter()}
