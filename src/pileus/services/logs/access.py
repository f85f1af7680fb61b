"""Which permission each operation needs, on which ARN.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoncloudwatchlogs.html
AWS names a group as ``log-group:NAME:log-stream:STREAM`` in its decisions (seen in its refusals),
which is why policies end in ``:*``; the tag operations name it without the tail.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Access, Call
from pileus.services.logs import rows

TAG_OPERATIONS = ("TagResource", "UntagResource", "ListTagsForResource")


def access(call: Call) -> list[Access]:
    params = call.params
    group_class = f"arn:aws:logs:{call.region}:{call.account}"
    if call.operation in TAG_OPERATIONS:
        name = rows.name_of_arn(params["resourceArn"])
        return [_access(call, f"{group_class}:log-group:{name}")]
    if call.operation == "TestMetricFilter":
        return [_access(call, "*")]
    name = _group(params)
    stream = params.get("logStreamName") or ""
    return [_access(call, f"{group_class}:log-group:{name}:log-stream:{stream}")]


def _access(call: Call, resource: str) -> Access:
    tags = call.params.get("tags")
    context: dict[str, Any] = {}
    if isinstance(tags, dict):
        context = {f"aws:RequestTag/{key}": value for key, value in tags.items()}
        context["aws:TagKeys"] = list(tags)
    return Access(f"logs:{call.operation}", resource, context=context)


def _group(params: dict[str, Any]) -> str:
    try:
        return rows.group_name(params, required=False)
    except AwsError:  # the operation itself tells what is wrong with it
        return "*"
