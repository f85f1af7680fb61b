"""Log groups: CreateLogGroup, DeleteLogGroup, DescribeLogGroups, ListLogGroups.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_CreateLogGroup.html
"""

from __future__ import annotations

from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.across import partly
from pileus.services.logs.room import Room
from pileus.services.logs.tags import check_tags
from pileus.state.draft import Draft

CLASSES = ("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")
PAGE_MAX = 50
LIST_MAX = 1000


async def create_log_group(room: Room, call: Call) -> None:
    """Make an empty group; ``ResourceAlreadyExistsException`` when the name is taken."""
    params = call.params
    name = params["logGroupName"]
    rows.check_group_name(name)
    if params.get("kmsKeyId"):
        raise rows.invalid("kmsKeyId is not offered by Pileus.")
    group_class = params.get("logGroupClass") or "STANDARD"
    if group_class not in CLASSES:
        raise rows.invalid(f"logGroupClass must be one of {', '.join(CLASSES)}.")
    tags = params.get("tags") or {}
    check_tags(tags)
    group = {
        "id": rows.new_id(room.clock),
        "name": name,
        "created": room.clock.now_ms(),
        "retention": None,
        "tags": tags,
        "class": group_class,
        "protected": bool(params.get("deletionProtectionEnabled")),
    }
    key = rows.group_key(call.account, call.region, name)

    def change(draft: Draft) -> None:
        if draft.get(key) is not None:
            raise AwsError(
                "ResourceAlreadyExistsException", "The specified log group already exists"
            )
        draft.put_json(key, group)

    await room.store.transact(change, call.invocation_id)


async def delete_log_group(room: Room, call: Call) -> None:
    """Delete the group's row at once; its streams and events are swept."""
    key = rows.group_key(call.account, call.region, rows.group_name(call.params))

    def change(draft: Draft) -> None:
        group = draft.get_json(key)
        if group is None:
            raise rows.no_group()
        if group["protected"]:
            raise AwsError("ValidationException", "The log group has deletion protection enabled.")
        draft.delete(key)

    await room.store.transact(change, call.invocation_id)
    room.wake_sweep()


async def put_deletion_protection(room: Room, call: Call) -> None:
    enabled = bool(call.params["deletionProtectionEnabled"])
    await room.edit_group(call, lambda group: group.update(protected=enabled))


async def describe_log_groups(room: Room, call: Call) -> dict[str, Any]:
    """Groups in name order, by prefix or by part of the name, 50 to a page."""
    params = call.params
    prefix, pattern = params.get("logGroupNamePrefix") or "", params.get("logGroupNamePattern")
    if prefix and pattern:
        raise rows.invalid(
            "LogGroup name prefix and LogGroup name pattern are mutually exclusive parameters."
        )
    identifiers = params.get("logGroupIdentifiers")
    if identifiers:
        return await _by_identifiers(room, call, identifiers)
    limit = rows.limit_of(params, "limit", PAGE_MAX, PAGE_MAX)
    found, token = _page(room, call, prefix, pattern or "", limit)
    stored, missing = await room.across.bytes_by_group()
    told = [_describe(call, g, stored.get(g["id"], 0)) for g in found]
    if pattern:  # such a search tells less on AWS
        for group in told:
            del group["storedBytes"], group["deletionProtectionEnabled"]
    answer = {"logGroups": told}
    return partly(answer | ({"nextToken": token} if token else {}), missing)


async def list_log_groups(room: Room, call: Call) -> dict[str, Any]:
    """Names, ARNs and classes of groups whose name contains the pattern."""
    params = call.params
    limit = rows.limit_of(params, "limit", 50, LIST_MAX)
    pattern = (params.get("logGroupNamePattern") or "").removeprefix("^")
    anchored = (params.get("logGroupNamePattern") or "").startswith("^")
    found, token = _page(
        room, call, pattern if anchored else "", "" if anchored else pattern, limit
    )
    summaries = [
        {
            "logGroupName": g["name"],
            "logGroupArn": rows.group_arn(call.account, call.region, g["name"]),
            "logGroupClass": g["class"],
        }
        for g in found
    ]
    return {"logGroups": summaries} | ({"nextToken": token} if token else {})


def _page(
    room: Room, call: Call, prefix: str, pattern: str, limit: int
) -> tuple[list[dict[str, Any]], str]:
    """Up to ``limit`` matching groups, and the token of the next page ('' at the end)."""
    after = call.params.get("nextToken") or ""
    wanted = call.params.get("logGroupClass")
    found: list[dict[str, Any]] = []
    start, end = rows.span("logs", call.place, prefix, after)
    while True:
        batch = room.store.range(start, end, 500)
        for row in batch:
            group = orjson.loads(row.value)
            if pattern.lower() not in group["name"].lower():
                continue
            if wanted and group["class"] != wanted:
                continue
            if len(found) == limit:
                return found, found[-1]["name"]
            found.append(group)
        if len(batch) < 500:
            return found, ""
        start = batch[-1].key + b"\x00"


async def _by_identifiers(room: Room, call: Call, identifiers: list[str]) -> dict[str, Any]:
    stored, missing = await room.across.bytes_by_group()
    names = [rows.name_of_arn(identifier) for identifier in identifiers]
    groups = [room.find_group(call, name) for name in names]
    shown = [_describe(call, g, stored.get(g["id"], 0)) for g in groups if g]
    return partly({"logGroups": shown}, missing)


def _describe(call: Call, group: dict[str, Any], stored_bytes: int) -> dict[str, Any]:
    arn = rows.group_arn(call.account, call.region, group["name"])
    answer = {
        "logGroupName": group["name"],
        "creationTime": group["created"],
        "metricFilterCount": 0,
        "arn": f"{arn}:*",
        "storedBytes": stored_bytes,
        "logGroupClass": group["class"],
        "logGroupArn": arn,
        "deletionProtectionEnabled": group["protected"],
    }
    if group["retention"]:
        answer["retentionInDays"] = group["retention"]
    return answer
