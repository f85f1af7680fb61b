"""AWS::CloudFormation::WaitConditionHandle and WaitCondition: a stack waits for signals of others.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-cloudformation-waitcondition.html
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation import signals
from pileus.services.cloudformation.answers import Name
from pileus.services.cloudformation.resources.kind import Made, Properties, Site, Unchanged, need

TIMEOUT_S_MAX = 43_200


class WaitConditionHandle:
    """``Ref`` gives its address."""

    replacing: frozenset[str] = frozenset()

    async def create(self, site: Site, wish: Properties) -> Made:
        number = uuid.uuid5(uuid.NAMESPACE_URL, f"{site.stack_id}/{site.step}/{site.logical}")
        name = Name(site.stack_id, site.logical, str(number))
        return Made(await signals.opened(site.answers, name))

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        return made

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        await signals.closed(site.answers, made.physical_id)


class WaitCondition:
    """``Fn::GetAtt Data`` gives the signals' data by their ids, as JSON."""

    replacing: frozenset[str] = frozenset()

    async def create(self, site: Site, wish: Properties) -> Made:
        handle, timeout = need(wish, "Handle", "Timeout")
        count = _whole(wish.get("Count", 1), "Count", 1, 100_000)
        timeout_s = _whole(timeout, "Timeout", 0, TIMEOUT_S_MAX)
        name = signals.named(str(handle))
        step = f"{site.step}/{site.logical}"
        data = await signals.waited(site.answers, name, step, count, timeout_s, site.given_up)
        if data is None:
            raise AwsError("NotStabilized", "Resource creation cancelled")
        told = json.dumps(data, separators=(",", ":"))
        return Made(f"{site.stack_id}/{site.logical}", {"Data": told})

    async def update(self, site: Site, made: Made, old: Properties, wish: Properties) -> Made:
        raise Unchanged(
            "ValidationError",
            "Update to resource type AWS::CloudFormation::WaitCondition is not supported.",
        )

    async def delete(self, site: Site, made: Made, had: Properties) -> None:
        """It is the stack's row alone."""


def _whole(told: Any, name: str, low: int, high: int) -> int:
    text = str(told)
    if not (text.isascii() and text.isdigit()) or not low <= int(text) <= high:
        raise AwsError("ValidationError", f"{name} must be a whole number, {low} to {high}")
    return int(text)


KINDS: dict[str, Any] = {
    "AWS::CloudFormation::WaitConditionHandle": WaitConditionHandle(),
    "AWS::CloudFormation::WaitCondition": WaitCondition(),
}
