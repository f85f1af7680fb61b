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
from pileus.services.call import Access, Call, HttpResponse, Parts
from pileus.services.s3 import rows
from pileus.services.s3.access import need
from pileus.services.s3.headers import SYSTEM_TAG, check_tags
from pileus.services.s3.room import BLOCKS, Bucket, Room
from pileus.services.s3.settings import BUCKET_TAGS_MAX
from pileus.services.service import Operation, Service

KIND = "public-access-block"
TAGGING = "tagging"
BUCKETS = "arn:aws:s3:::"
_ACTIONS = {
    "GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutAccountPublicAccessBlock",
    "DeletePublicAccessBlock": "s3:PutAccountPublicAccessBlock",
}
# In its own words what S3 says of the same tags (recorded of AWS), without telling which tag it is.
_NOT_VALID = (
    "This request contains a tag key or value that isn't valid. Valid characters include the"
    " following: [a-zA-Z+-=._:/]. Tag keys can contain up to 128 characters. Tag values can contain"
    " up to 256 characters."
)
_WORDS = {
    "The TagKey you have provided is invalid": _NOT_VALID,
    "The TagValue you have provided is invalid": _NOT_VALID,
    "Cannot provide multiple Tags with the same key": (
        "There are duplicate tag keys in your request. Remove the duplicate tag keys and try again."
    ),
    "System tags cannot be added/updated by requester": SYSTEM_TAG,
}


def access(room: Room, call: Call) -> Sequence[Access]:
    """An account's settings are its own business, a bucket's tags also its policy's."""
    told = call.params.get("AccountId")
    if told and told != call.account:
        raise AwsError("AccessDenied", "Access Denied", 403)
    if call.operation in _ACTIONS:
        return [Access(_ACTIONS[call.operation])]
    return [need(room, call, f"s3:{call.operation}", _tagged(room, call))]


# -- tags of a bucket --------------------------------------------------------------------------


def _bucket(call: Call) -> str:
    """The bucket whose ARN is told."""
    arn = call.params["ResourceArn"]
    name: str = arn.removeprefix(BUCKETS)
    if not arn.startswith(BUCKETS) or "/" in name:
        raise AwsError("InvalidRequest", f"Not a bucket's ARN: {arn}")
    return name


def _tagged(room: Room, call: Call) -> Bucket:
    try:
        return room.bucket(_bucket(call))
    except AwsError as error:
        raise _no_such_resource() if error.code == "NoSuchBucket" else error


def _no_such_resource() -> AwsError:
    return AwsError("NoSuchResource", "The specified resource doesn't exist.", 404)


def _check(pairs: list[tuple[str, str]]) -> dict[str, str]:
    try:
        return check_tags(pairs, BUCKET_TAGS_MAX)
    except AwsError as error:
        raise AwsError(error.code, _WORDS.get(error.message, error.message)) from error


def list_tags(room: Room, call: Call) -> dict[str, Any]:
    tags = _tagged(room, call).settings.get(TAGGING) or {}
    return {"Tags": [{"Key": k, "Value": v} for k, v in sorted(tags.items())]}


async def tag(room: Room, call: Call) -> None:
    """Add tags or replace their values; the others stay."""
    added = _check([(t["Key"], t["Value"]) for t in call.params["Tags"]])
    await _retag(room, call, lambda tags: tags | added)


async def untag(room: Room, call: Call) -> None:
    gone = set(call.params["TagKeys"])
    await _retag(room, call, lambda tags: {k: v for k, v in tags.items() if k not in gone})


async def _retag(room: Room, call: Call, edit: Callable[[dict[str, str]], dict[str, str]]) -> None:
    name = _bucket(call)
    at = rows.setting(name, TAGGING)

    def change(draft: Any) -> None:
        if draft.get(rows.bucket(name)) is None:
            raise _no_such_resource()
        tags = _check(list(edit(draft.get_json(at) or {}).items()))
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
    if not told:
        raise AwsError("InvalidRequest", "Must specify at least one configuration.")
    value = {block: bool(told.get(block)) for block in BLOCKS}
    await _configure(room, call, orjson.dumps(value))


async def delete_block(room: Room, call: Call) -> HttpResponse:
    """204, though the model says nothing of it (recorded of AWS)."""
    await _configure(room, call, None)
    return HttpResponse(204, [])


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
