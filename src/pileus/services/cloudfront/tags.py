"""Tags of distributions: TagResource, UntagResource, ListTagsForResource.

https://docs.aws.amazon.com/cloudfront/latest/APIReference/API_TagResource.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudfront import rows
from pileus.services.cloudfront.room import Room
from pileus.state.draft import Draft

TAGS_MAX = 50
KIND = "distribution"


def check_tags(tags: dict[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise rows.bad("A distribution can have at most 50 tags.", "InvalidTagging")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise rows.bad(f"The tag {key} is not valid.", "InvalidTagging")


async def tag_resource(room: Room, call: Call) -> None:
    given = {t["Key"]: t.get("Value") or "" for t in rows.items(call.params["Tags"])}
    await _edit(room, call, lambda tags: tags | given)


async def untag_resource(room: Room, call: Call) -> None:
    gone = set(rows.items(call.params["TagKeys"]))
    await _edit(room, call, lambda tags: {k: v for k, v in tags.items() if k not in gone})


def list_tags_for_resource(room: Room, call: Call) -> dict[str, Any]:
    row = room.find(call, KIND, _id(call))
    if row is None:
        raise _absent()
    return {"Tags": {"Items": [{"Key": k, "Value": v} for k, v in row["tags"].items()]}}


def _id(call: Call) -> str:
    match = rows.ARN.fullmatch(call.params["Resource"])
    if match is None or match[2] != KIND:
        raise rows.bad("The resource's ARN is not valid.")
    return match[3]


def _absent() -> AwsError:
    return AwsError("NoSuchResource", "The specified resource does not exist.", 404)


async def _edit(
    room: Room, call: Call, new_tags: Callable[[dict[str, str]], dict[str, str]]
) -> None:
    key = rows.key(KIND, _id(call))

    def change(draft: Draft) -> None:
        row = draft.get_json(key)
        if row is None or row["account"] != call.account:
            raise _absent()
        row["tags"] = new_tags(row["tags"])
        check_tags(row["tags"])
        draft.put_json(key, row)

    await room.store.transact(change, call.invocation_id)
