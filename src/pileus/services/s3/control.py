"""S3 Control: what an account sets for all its buckets, and tags of a bucket one by one.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_PutPublicAccessBlock.html
https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_TagResource.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, Call, Operation, Parts, Service
from pileus.services.s3 import faults, rows
from pileus.services.s3.access import need
from pileus.services.s3.headers import check_tags
from pileus.services.s3.room import BLOCKS, Room
from pileus.services.s3.settings import BUCKET_TAGS_MAX

KIND = "public-access-block"
TAGGING = "tagging"
BUCKETS = "arn:aws:s3:::"
_ACTIONS = {
    "GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutAccountPublicAccessBlock",
    "DeletePublicAccessBlock": "s3:PutAccountPublicAccessBlock",
}


def access(room: Room, call: Call) -> Sequence[Access]:
    """An account's settings are its own business, a bucket's tags also its policy's."""
    told = call.params.get("AccountId")
    if told and told != call.account:
        raise AwsError("AccessDenied", "Access Denied", 403)
    if call.operation in _ACTIONS:
        return [Access(_ACTIONS[call.operation])]
    return [need(room, call, f"s3:{call.operation}", room.bucket(_bucket(call)))]


# -- tags of a bucket --------------------------------------------------------------------------


def _bucket(call: Call) -> str:
    """The bucket whose ARN is told."""
    arn = call.params["ResourceArn"]
    name: str = arn.removeprefix(BUCKETS)
    if not arn.startswith(BUCKETS) or "/" in name:
        raise AwsError("InvalidRequest", f"Not a bucket's ARN: {arn}")
    return name


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    tags = room.bucket(_bucket(call)).settings.get(TAGGING) or {}
    return {"Tags": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]}


async def tag(room: Room, call: Call) -> None:
    """Add tags or replace their values; the others stay."""
    added = check_tags([(t["Key"], t["Value"]) for t in call.params["Tags"]], BUCKET_TAGS_MAX)
    await _retag(room, call, lambda tags: tags | added)


async def untag(room: Room, call: Call) -> None:
    gone = set(call.params["TagKeys"])
    await _retag(room, call, lambda tags: {k: v for k, v in tags.items() if k not in gone})


async def _retag(room: Room, call: Call, edit: Callable[[dict[str, str]], dict[str, str]]) -> None:
    name = _bucket(call)
    at = rows.setting(name, TAGGING)

    def change(draft: Any) -> None:
        if draft.get(rows.bucket(name)) is None:
            raise faults.no_such_bucket(name)
        tags = check_tags(list(edit(draft.get_json(at) or {}).items()), BUCKET_TAGS_MAX)
        if tags:
            draft.put_json(at, tags)
        else:
            draft.delete(at)

    await room.store.transact(change, call.invocation_id)


# -- blocks of public access -------------------------------------------------------------------


def get_block(room: Room, call: Call) -> dict[str, Any]:
    told = room.store.get_json(rows.account_setting(call.account, KIND))
    if told is None:
        raise AwsError(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            404,
            fields={"AccountId": call.account},
        )
    return {"PublicAccessBlockConfiguration": told}


async def put_block(room: Room, call: Call) -> None:
    told = call.params.get("PublicAccessBlockConfiguration") or {}
    value = {block: bool(told.get(block)) for block in BLOCKS}
    await _configure(room, call, orjson.dumps(value))


async def delete_block(room: Room, call: Call) -> None:
    await _configure(room, call, None)


async def _configure(room: Room, call: Call, value: bytes | None) -> None:
    args = [call.account, KIND, value]
    await room.store.submit("s3.configure_account", args, call.invocation_id)


OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "GetPublicAccessBlock": get_block,
    "PutPublicAccessBlock": put_block,
    "DeletePublicAccessBlock": delete_block,
    "ListTagsForResource": list_tags,
    "TagResource": tag,
    "UntagResource": untag,
}


def build(parts: Parts) -> Service:
    """The service over ``parts``."""
    room = Room(parts)
    operations: dict[str, Operation] = {n: partial(f, room) for n, f in OPERATIONS.items()}
    return Service("s3control", operations, partial(access, room))
