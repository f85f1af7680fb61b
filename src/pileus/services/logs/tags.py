"""Tags of log groups, by the current API (ARN) and the older one (name).

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_TagResource.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.room import Room

TAGS_MAX = 50


def check_tags(tags: dict[str, str]) -> None:
    """At most 50, keys 1-128 and values 0-256 characters, none of AWS's own prefix."""
    if len(tags) > TAGS_MAX:
        raise AwsError("TooManyTagsException", "A resource can have no more than 50 tags.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise rows.invalid(f"The tag key or value is invalid: {key}")


async def tag(room: Room, call: Call) -> None:
    """TagResource and TagLogGroup: add or replace tags."""
    new = call.params["tags"]

    def edit(group: dict[str, Any]) -> None:
        group["tags"] = {**group["tags"], **new}
        check_tags(group["tags"])

    await room.edit_group(call, edit, _name(call))


async def untag(room: Room, call: Call) -> None:
    """UntagResource (``tagKeys``) and UntagLogGroup (``tags``)."""
    gone = set(call.params.get("tagKeys") or call.params.get("tags") or ())

    def edit(group: dict[str, Any]) -> None:
        group["tags"] = {k: v for k, v in group["tags"].items() if k not in gone}

    await room.edit_group(call, edit, _name(call))


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    """ListTagsForResource and ListTagsLogGroup."""
    group = room.find_group(call, _name(call))
    if group is None:
        raise rows.no_group()
    return {"tags": group["tags"]}


def _name(call: Call) -> str:
    arn = call.params.get("resourceArn")
    return rows.name_of_arn(arn) if arn else rows.group_name(call.params)
