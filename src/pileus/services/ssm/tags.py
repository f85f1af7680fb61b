"""AddTagsToResource, RemoveTagsFromResource, ListTagsForResource.

https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_AddTagsToResource.html
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.ssm import faults, rows
from pileus.state.draft import Draft

TAGS_MAX = 50
Record = dict[str, Any]


def read_tags(told: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key; ``ValidationException`` for wrong ones."""
    tags = {t["Key"]: t["Value"] for t in told}
    if any(k.lower().startswith("aws:") for k in tags):
        raise faults.invalid("aws: prefixed tag key names are not allowed for external use.")
    return tags


async def add_tags(parts: Parts, call: Call) -> Record:
    new = read_tags(call.params["Tags"])

    def change(tags: dict[str, str]) -> dict[str, str]:
        if len(tags | new) > TAGS_MAX:
            raise faults.error("TooManyTagsError", "A parameter can have no more than 50 tags.")
        return tags | new

    return await _edit(parts, call, change)


async def remove_tags(parts: Parts, call: Call) -> Record:
    gone = set(call.params["TagKeys"])
    return await _edit(parts, call, lambda tags: {k: v for k, v in tags.items() if k not in gone})


def list_tags(parts: Parts, call: Call) -> Record:
    at = _at(call)
    record = parts.store.get_json(at)
    if record is None:
        raise _absent(call)
    return {"TagList": [{"Key": k, "Value": v} for k, v in sorted(record["tags"].items())]}


async def _edit(
    parts: Parts, call: Call, change: Callable[[dict[str, str]], dict[str, str]]
) -> Record:
    at = _at(call)

    def apply(draft: Draft) -> Record:
        record = draft.get_json(at)
        if record is None:
            raise _absent(call)
        draft.put_json(at, record | {"tags": change(record["tags"])})
        return {}

    return await parts.store.transact(apply, call.invocation_id)


def _at(call: Call) -> bytes:
    kind = call.params["ResourceType"]
    if kind != "Parameter":
        raise faults.error("InvalidResourceType", f"{kind} is not offered by Pileus.")
    return rows.key(call.place, rows.asked(call.params["ResourceId"]).name)


def _absent(call: Call) -> Exception:
    told = call.params["ResourceId"]
    return faults.error("InvalidResourceId", f"The resource ID {told} is not valid.")
