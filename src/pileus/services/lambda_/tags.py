"""Tags of functions: TagResource, UntagResource, ListTags.

https://docs.aws.amazon.com/lambda/latest/api/API_TagResource.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.lambda_ import rows
from pileus.services.lambda_.names import FunctionName, function_name, invalid
from pileus.services.lambda_.room import Record, Room
from pileus.state.draft import Draft

TAGS_MAX = 50


def checked(tags: dict[str, str]) -> dict[str, str]:
    """The tags, when they keep AWS's limits."""
    if len(tags) > TAGS_MAX:
        raise invalid("Number of tags exceeds resource tag limit.")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise invalid(f"The tag key or value is not valid: {key}")
    return tags


async def tag_resource(room: Room, call: Call) -> None:
    if not call.params["Tags"]:
        raise invalid("An error occurred and the request cannot be processed.")

    def change(draft: Draft, record: Record) -> None:
        record["tags"] = checked({**record["tags"], **call.params["Tags"]})
        record["revision"] = rows.new_id(room.clock)

    await room.edit(call, _tagged(call), change)


async def untag_resource(room: Room, call: Call) -> None:
    gone = set(call.params["TagKeys"])

    def change(draft: Draft, record: Record) -> None:
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in gone}
        record["revision"] = rows.new_id(room.clock)

    await room.edit(call, _tagged(call), change)


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    return {"Tags": room.function(_tagged(call))["tags"]}


def _tagged(call: Call) -> FunctionName:
    name = function_name(call, call.params["Resource"])
    if name.qualifier:
        raise invalid("Tags on function aliases and versions are not supported. Please specify a"
                      " function ARN.")  # fmt: skip
    return name
