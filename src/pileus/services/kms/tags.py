"""TagResource, UntagResource, ListResourceTags.

https://docs.aws.amazon.com/kms/latest/APIReference/API_TagResource.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.kms import faults
from pileus.services.kms.room import Room, check_alive

TAGS_MAX = 50
KEY_CHARS_MAX, VALUE_CHARS_MAX = 128, 256


def read_tags(told: list[dict[str, str]]) -> dict[str, str]:
    """Tags by key; ``TagException`` for wrong ones."""
    if len(told) > TAGS_MAX:
        raise _wrong("Too many tags")
    out: dict[str, str] = {}
    for tag in told:
        key, value = tag["TagKey"], tag["TagValue"]
        if not 1 <= len(key) <= KEY_CHARS_MAX or len(value) > VALUE_CHARS_MAX:
            raise _wrong(f"The tag {key} is too long")
        if key.lower().startswith("aws:"):
            raise _wrong("Tags beginning with aws: are reserved")
        if key in out:
            raise _wrong("Duplicate tag keys")
        out[key] = value
    return out


def _wrong(message: str) -> AwsError:
    return AwsError("TagException", message)


async def tag(room: Room, call: Call) -> None:
    new = read_tags(call.params["Tags"])

    def change(record: dict[str, Any]) -> None:
        record["tags"] = {**record["tags"], **new}
        if len(record["tags"]) > TAGS_MAX:
            raise AwsError("LimitExceededException", "A key can have no more than 50 tags.")

    await _edit(room, call, change)


async def untag(room: Room, call: Call) -> None:
    gone = set(call.params["TagKeys"])

    def change(record: dict[str, Any]) -> None:
        record["tags"] = {k: v for k, v in record["tags"].items() if k not in gone}

    await _edit(room, call, change)


async def _edit(room: Room, call: Call, change: Any) -> None:
    key = room.find(call, call.params["KeyId"], aliases=False)
    if key.managed:
        raise faults.managed(key.arn)
    check_alive(key)
    await room.edit(call, key, change)


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    key = room.find(call, call.params["KeyId"], aliases=False)
    told = [{"TagKey": k, "TagValue": v} for k, v in sorted(key.record["tags"].items())]
    return {"Tags": told, "Truncated": False}
