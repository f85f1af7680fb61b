"""Tags of topics.

https://docs.aws.amazon.com/sns/latest/api/API_TagResource.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.sns import faults, rows
from pileus.services.sns.names import TopicName
from pileus.services.sns.room import Room
from pileus.state.draft import Draft

TAGS_MAX = 50
Tags = dict[str, str]


def given(told: list[dict[str, str]]) -> Tags:
    """The tags of a request, checked."""
    tags = {tag["Key"]: tag["Value"] for tag in told}
    if len(tags) < len(told):
        raise faults.invalid("Duplicated keys are not allowed.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise faults.invalid(f"Tags Reason: {key[:128]} cannot be a tag")
    _count(tags)
    return tags


def _count(tags: Tags) -> None:
    if len(tags) > TAGS_MAX:
        raise AwsError(
            "TagLimitExceeded",
            "Could not complete request: tag quota of per resource exceeded",
        )


async def tag_resource(room: Room, call: Call) -> dict[str, Any]:
    more = given(call.params["Tags"])
    await _edit(room, call, lambda tags: tags | more)
    return {}


async def untag_resource(room: Room, call: Call) -> dict[str, Any]:
    less = set(call.params["TagKeys"])
    await _edit(room, call, lambda tags: {k: v for k, v in tags.items() if k not in less})
    return {}


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    name = TopicName.of(call.params["ResourceArn"], "ResourceArn")
    topic = room.store.get_json(rows.topic_key(name))
    if topic is None:
        raise faults.no_resource()
    return {"Tags": [{"Key": k, "Value": v} for k, v in topic["tags"].items()]}


async def _edit(room: Room, call: Call, edit: Callable[[Tags], Tags]) -> None:
    name = TopicName.of(call.params["ResourceArn"], "ResourceArn")

    def change(draft: Draft) -> None:
        topic = draft.get_json(rows.topic_key(name))
        if topic is None:
            raise faults.no_resource()
        tags = edit(topic["tags"])
        _count(tags)
        draft.put_json(rows.topic_key(name), {**topic, "tags": tags})

    await room.store.transact(change, call.invocation_id)
