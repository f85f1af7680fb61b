"""S3 Control: what an account sets for all its buckets.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_control_PutPublicAccessBlock.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Access, Call, Operation, Parts, Service
from pileus.services.s3 import rows
from pileus.services.s3.room import BLOCKS

KIND = "public-access-block"
_ACTIONS = {
    "GetPublicAccessBlock": "s3:GetAccountPublicAccessBlock",
    "PutPublicAccessBlock": "s3:PutAccountPublicAccessBlock",
    "DeletePublicAccessBlock": "s3:PutAccountPublicAccessBlock",
}


def access(call: Call) -> Sequence[Access]:
    """An account's settings are its own business."""
    told = call.params.get("AccountId")
    if told and told != call.account:
        raise AwsError("AccessDenied", "Access Denied", 403)
    return [Access(_ACTIONS[call.operation])]


def get_block(parts: Parts, call: Call) -> dict[str, Any]:
    told = parts.store.get_json(rows.account_setting(call.account, KIND))
    if told is None:
        raise AwsError(
            "NoSuchPublicAccessBlockConfiguration",
            "The public access block configuration was not found",
            404,
            fields={"AccountId": call.account},
        )
    return {"PublicAccessBlockConfiguration": told}


async def put_block(parts: Parts, call: Call) -> None:
    told = call.params.get("PublicAccessBlockConfiguration") or {}
    value = {block: bool(told.get(block)) for block in BLOCKS}
    await _configure(parts, call, orjson.dumps(value))


async def delete_block(parts: Parts, call: Call) -> None:
    await _configure(parts, call, None)


async def _configure(parts: Parts, call: Call, value: bytes | None) -> None:
    args = [call.account, KIND, value]
    await parts.store.submit("s3.configure_account", args, call.invocation_id)


OPERATIONS: dict[str, Callable[[Parts, Call], Any]] = {
    "GetPublicAccessBlock": get_block,
    "PutPublicAccessBlock": put_block,
    "DeletePublicAccessBlock": delete_block,
}


def build(parts: Parts) -> Service:
    """The service over ``parts``."""
    operations: dict[str, Operation] = {n: partial(f, parts) for n, f in OPERATIONS.items()}
    return Service("s3control", operations, access)
