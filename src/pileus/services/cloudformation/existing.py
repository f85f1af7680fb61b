"""What is there already under the name a template gives a resource: it is left alone, and the
resource fails.

Most services refuse to make a thing twice. Some answer as if they had made it, or write over it;
there one looks first, before the step is written down as begun: what a step that was cut off made
is its own.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

from pileus.errors import AwsError
from pileus.services.cloudformation.resources import own_name
from pileus.services.cloudformation.resources.kind import Properties, Site, Unchanged

ABSENT = ("NotFound", "NoSuch", "404")
TAKEN = frozenset({
    "AlreadyExistsException", "BucketAlreadyExists", "BucketAlreadyOwnedByYou",
    "EntityAlreadyExists", "ParameterAlreadyExists", "ResourceAlreadyExistsException",
    "ResourceConflictException", "ResourceInUseException", "ServiceAlreadyExistsException",
})  # fmt: skip
Look = tuple[str, str, Callable[[Site, str], dict[str, Any]]]


def _alarm(site: Site, name: str) -> dict[str, Any]:
    return {"AlarmNames": [name], "AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}


# (service, operation, its parameters) that fails or tells nothing where there is no such thing.
LOOKS: Mapping[str, Look] = {
    "AWS::CloudWatch::Alarm": ("cloudwatch", "DescribeAlarms", _alarm),
    "AWS::CloudWatch::CompositeAlarm": ("cloudwatch", "DescribeAlarms", _alarm),
    "AWS::CloudWatch::Dashboard": (
        *("cloudwatch", "GetDashboard"),
        lambda site, name: {"DashboardName": name},
    ),
    "AWS::S3::Bucket": ("s3", "HeadBucket", lambda site, name: {"Bucket": name}),
    "AWS::SNS::Topic": (
        *("sns", "GetTopicAttributes"),
        lambda site, name: {"TopicArn": site.arn("sns", name)},
    ),
}


async def is_there(site: Site, wish: Properties) -> bool:
    """Whether something has the name already; of services that refuse it themselves, no."""
    name, look = own_name(site.type, wish), LOOKS.get(site.type)
    if not name or look is None:
        return False
    service, operation, parameters = look
    try:
        told = await site.call(service, operation, **parameters(site, name))
    except AwsError as error:
        if operation == "HeadBucket":  # another account's is forbidden: making it tells
            return False
        if any(a in error.code for a in ABSENT) or error.status == 404:
            return False
        raise
    return operation != "DescribeAlarms" or bool(told["MetricAlarms"] or told["CompositeAlarms"])


def already_exists(site: Site, wish: Properties) -> Unchanged:
    """CloudFormation's words of a resource that cannot be made because there is one."""
    token = uuid.uuid5(uuid.NAMESPACE_URL, f"{site.stack_id}/{site.logical}/{site.step}")
    return Unchanged(
        "AlreadyExists",
        f"Resource handler returned message: \"Resource of type '{site.type}' with identifier"
        f" '{own_name(site.type, wish)}' already exists.\" (RequestToken: {token},"
        " HandlerErrorCode: AlreadyExists)",
    )


def is_taken(site: Site, wish: Properties, error: Exception) -> bool:
    """Whether a service refused to make the resource because there is one."""
    named = isinstance(error, AwsError) and error.code in TAKEN and own_name(site.type, wish)
    return bool(named) and site.begun is None
