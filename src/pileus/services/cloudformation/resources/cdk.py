"""AWS::CDK::Metadata: what the CDK tells AWS of a template's constructs. It makes nothing, on AWS
either.

https://docs.aws.amazon.com/cdk/v2/guide/usage-data.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation.resources.kind import Made, Properties, Site


class Metadata:
    replacing: frozenset[str] = frozenset()

    async def create(self, site: Site, wish: Properties) -> Made:
        return Made(site.name())

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        """There is nothing to delete."""


KINDS: dict[str, Any] = {"AWS::CDK::Metadata": Metadata()}
