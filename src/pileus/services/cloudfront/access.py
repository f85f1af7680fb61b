"""Which permission each operation needs, on which ARN.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudfront.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Access, Call
from pileus.services.cloudfront import rows
from pileus.services.cloudfront.configured import KINDS

PLACES = {kind.noun: kind.name for kind in KINDS} | {"Distribution": "distribution"}


def access(call: Call) -> list[Access]:
    action = f"cloudfront:{call.operation}"
    if call.operation == "CreateDistributionWithTags":
        tags = rows.items(call.params["DistributionConfigWithTags"].get("Tags"))
        context = _tag_context(tags)
        where = _arn(call, "distribution", "*")
        return [
            Access("cloudfront:CreateDistribution", where, context=context),
            Access("cloudfront:TagResource", where, context=context),
        ]
    if "Resource" in call.params:
        tags = rows.items(call.params.get("Tags"))
        return [Access(action, call.params["Resource"], context=_tag_context(tags))]
    if "DistributionId" in call.params:
        return [Access(action, _arn(call, "distribution", call.params["DistributionId"]))]
    if call.operation.startswith("List"):
        return [Access(action)]
    noun = call.operation.removeprefix("Create").removeprefix("Get").removeprefix("Update")
    noun = noun.removeprefix("Delete").removesuffix("Config")
    return [Access(action, _arn(call, PLACES[noun], call.params.get("Id") or "*"))]


def _tag_context(tags: list[dict[str, str]]) -> dict[str, Any]:
    if not tags:
        return {}
    context: dict[str, Any] = {f"aws:RequestTag/{t['Key']}": t.get("Value") or "" for t in tags}
    context["aws:TagKeys"] = [t["Key"] for t in tags]
    return context


def _arn(call: Call, kind: str, id_: str) -> str:
    return f"arn:aws:cloudfront::{call.account}:{kind}/{id_}"
