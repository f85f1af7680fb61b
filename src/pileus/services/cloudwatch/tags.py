"""Tags of alarms and dashboards.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_TagResource.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.cloudwatch import faults, rows
from pileus.services.cloudwatch.room import Room
from pileus.state.draft import Draft

TAGS_MAX = 50


async def tag_resource(room: Room, call: Call) -> dict[str, Any]:
    given = {t["Key"]: t["Value"] for t in call.params["Tags"]}
    if any(name.startswith("aws:") for name in given):
        raise faults.invalid("Tag keys must not begin with aws:")
    await _edit(room, call, lambda tags: tags.update(given))
    return {}


async def untag_resource(room: Room, call: Call) -> dict[str, Any]:
    def remove(tags: dict[str, str]) -> None:
        for name in call.params["TagKeys"]:
            tags.pop(name, None)

    await _edit(room, call, remove)
    return {}


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    """Of what was deleted too: AWS answers none."""
    row = room.store.get_json(_key(call)) or {"tags": {}}
    return {"Tags": [{"Key": k, "Value": v} for k, v in sorted(row["tags"].items())]}


async def _edit(room: Room, call: Call, edit: Callable[[dict[str, str]], None]) -> None:
    key = _key(call)

    def change(draft: Draft) -> None:
        row = draft.get_json(key)
        if row is None:
            raise _unknown(call)
        tags = dict(row["tags"])
        edit(tags)
        if len(tags) > TAGS_MAX:
            raise faults.invalid(f"A resource may have at most {TAGS_MAX} tags.")
        draft.put_json(key, {**row, "tags": tags})

    await room.store.transact(change, call.invocation_id)


def _key(call: Call) -> bytes:
    """The row that the ARN names, in the caller's account and region."""
    told = call.params["ResourceARN"].split(":", 6)
    if len(told) == 7 and told[2] == "cloudwatch" and told[5] == "alarm":
        return rows.alarm_key(call.place, told[6])
    if len(told) >= 6 and told[5].startswith("dashboard/"):
        return rows.dashboard_key(call.place, told[5].partition("/")[2])
    raise faults.invalid(f"The ARN {call.params['ResourceARN']} is not of an alarm or a dashboard.")


def _unknown(call: Call) -> AwsError:
    told = call.params["ResourceARN"]
    return AwsError("ResourceNotFoundException", f"Unknown resource: {told}", 404)
