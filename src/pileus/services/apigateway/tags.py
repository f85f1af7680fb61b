"""Tags of APIs, stages and domain names: TagResource, UntagResource, GetTags.

https://docs.aws.amazon.com/apigatewayv2/latest/api-reference/tags-resource-arn.html
"""

from __future__ import annotations

import re
from typing import Any

from pileus.services.apigateway import rows
from pileus.services.apigateway.room import Room, owned
from pileus.services.call import Call
from pileus.state.draft import Draft

ARN = re.compile(r"arn:aws[a-z\-]*:apigateway:[a-z0-9\-]*::/apis/([a-z0-9]+)(?:/stages/([^/]+))?")
TAGS_MAX = 50


def check_tags(tags: dict[str, str]) -> None:
    if len(tags) > TAGS_MAX:
        raise rows.bad("A resource can have at most 50 tags")
    for key, value in tags.items():
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.lower().startswith("aws:"):
            raise rows.bad(f"Invalid tag {key}")


def _place(call: Call) -> tuple[str, str]:
    """(API id, stage name or '') of the ARN the call names."""
    match = ARN.fullmatch(call.params["ResourceArn"])
    if match is None:
        raise rows.bad(f"Invalid resource ARN: {call.params['ResourceArn']}")
    return match[1], match[2] or ""


async def tag_resource(room: Room, call: Call) -> dict[str, Any]:
    tags = call.params.get("Tags") or {}
    check_tags(tags)
    await _edit(room, call, lambda old: old | tags)
    return {}


async def untag_resource(room: Room, call: Call) -> None:
    gone = set(call.params.get("TagKeys") or [])
    await _edit(room, call, lambda old: {k: v for k, v in old.items() if k not in gone})


def get_tags(room: Room, call: Call) -> dict[str, Any]:
    api_id, stage_name = _place(call)
    api = owned(call, room.store.get_json(rows.api_key(api_id)), api_id)
    if not stage_name:
        return {"Tags": api["told"].get("Tags") or {}}
    stage = room.store.get_json(rows.part_key(api_id, "stage", stage_name))
    if stage is None:
        raise rows.no_such("stage")
    return {"Tags": stage.get("Tags") or {}}


async def _edit(room: Room, call: Call, new_tags: Any) -> None:
    api_id, stage_name = _place(call)

    def edit(draft: Draft, api: dict[str, Any]) -> None:
        key = rows.part_key(api_id, "stage", stage_name) if stage_name else rows.api_key(api_id)
        row = draft.get_json(key)
        if row is None:
            raise rows.no_such("stage")
        told = row if stage_name else row["told"]
        told["Tags"] = new_tags(told.get("Tags") or {})
        check_tags(told["Tags"])
        draft.put_json(key, row)

    await room.change(call, edit, api_id=api_id)
