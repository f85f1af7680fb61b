"""TagResource, UntagResource, ListTagsOfResource."""

from __future__ import annotations

import re
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.dynamodb.faults import bad_parameter, invalid, not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table

TAGS_MAX = 50
# Developer Guide, "Tagging restrictions"; the at sign is of the tags of all services.
_WORDED = re.compile(r"[\w\s+\-=.:/@]*")
_SHAPED = re.compile(r".+:.+:.+:.+:.+:.+/.+")
_TABLE = re.compile(r"arn:aws:dynamodb:[^:]+:\d+:table/([^/]{3,})")


def check_tags(tags: list[dict[str, str]] | None) -> None:
    """Keys once each, none of AWS's own, at most fifty."""
    if not tags:
        return
    seen: set[str] = set()
    for tag in tags:
        if tag["Key"] in seen:
            raise bad_parameter(f"Duplicate tag key: {tag['Key']}")
        if tag["Key"].lower().startswith("aws:"):
            raise invalid("Tag keys starting with 'aws:' are reserved for system use")
        for text in (tag["Key"], tag["Value"]):
            if not _WORDED.fullmatch(text):
                raise bad_parameter(
                    "Tags can only contain letters, numbers, spaces, and the following special"
                    f" characters: _ . : / = + - @. Found: {text}"
                )
        seen.add(tag["Key"])
    if len(tags) > TAGS_MAX:
        raise bad_parameter("Number of tags exceeds the limit of 50")


def _check_arn(call: Call, arn: str | None, member: str = "", given: Any = "") -> str:
    """The resource of a tag operation; its other member is checked in between, as AWS does."""
    if arn is None:
        raise invalid("Invalid TableArn")
    if not _SHAPED.fullmatch(arn):
        raise AwsError(
            "AccessDeniedException",
            f"User: {call.principal.arn} is not authorized to perform: dynamodb:{call.operation}"
            f" on resource: {arn or '*'}",
        )
    if given is None:
        raise invalid(
            f"1 validation error detected: Value null at '{member}' failed to satisfy constraint:"
            " Member must not be null"
        )
    if not _TABLE.fullmatch(arn):
        raise invalid(f"Invalid TableArn: Invalid ResourceArn provided as input {arn}")
    return arn


def _find(room: Room, call: Call, arn: str) -> Table:
    table = room.tables.find(call.account, call.region, arn)
    if table is None:
        raise not_found(f"Requested resource not found: ResourcArn: {arn} not found")
    return table


async def tag_resource(room: Room, call: Call, p: dict[str, Any]) -> None:
    """Add or overwrite tags of a table."""
    tags = p.get("Tags")
    arn = _check_arn(call, p.get("ResourceArn"), "tags", tags)
    if not tags:
        raise invalid("Atleast one Tag needs to be provided as Input.")
    check_tags(tags)
    table = _find(room, call, arn)

    def change(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise not_found()
        merged = {**row.get("tags", {}), **{t["Key"]: t["Value"] for t in tags}}
        if len(merged) > TAGS_MAX:
            raise bad_parameter("Number of tags exceeds the limit of 50")
        draft.put_json(table.meta_key, {**row, "tags": merged})

    await room.store.transact(change, call.invocation_id)


async def untag_resource(room: Room, call: Call, p: dict[str, Any]) -> None:
    """Remove tags by key."""
    arn = _check_arn(call, p.get("ResourceArn"), "tagKeys", p.get("TagKeys"))
    if not p["TagKeys"]:
        raise invalid("Atleast one Tag Key needs to be provided as Input.")
    table = room.tables.find(call.account, call.region, arn)
    if table is None:
        raise not_found()

    def change(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise not_found()
        left = {k: v for k, v in row.get("tags", {}).items() if k not in p["TagKeys"]}
        draft.put_json(table.meta_key, {**row, "tags": left})

    await room.store.transact(change, call.invocation_id)


def list_tags_of_resource(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """All tags of a table, in one page (there are at most fifty)."""
    table = _find(room, call, _check_arn(call, p.get("ResourceArn")))
    tags = table.description.get("tags", {})
    return {"Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}
