"""Requester pays: who else reads a bucket says that they will be charged, or is refused.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/RequesterPaysBuckets.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.s3 import faults
from pileus.services.s3.query import query_of
from pileus.services.s3.room import Bucket, Room

KIND = "request-payment"


def get_request_payment(room: Room, call: Call) -> dict[str, Any]:
    told = room.bucket(call.params["Bucket"]).settings.get(KIND)
    return {"Payer": told["Payer"] if told else "BucketOwner"}


async def put_request_payment(room: Room, call: Call) -> None:
    payer = (call.params.get("RequestPaymentConfiguration") or {}).get("Payer")
    if payer not in ("BucketOwner", "Requester"):
        raise faults.malformed_xml()
    told = {"Payer": payer} if payer == "Requester" else None
    await room.configure(call, call.params["Bucket"], KIND, told)


def _others(bucket: Bucket, call: Call) -> bool:
    principal = call.principal
    return principal.account != bucket.owner and principal.kind not in ("service", "oai")


def check(bucket: Bucket, call: Call) -> None:
    """Refuse who would not pay; the anonymous cannot."""
    if KIND not in bucket.settings or not _others(bucket, call):
        return
    if call.principal.kind == "anonymous" or not _offers(call):
        raise faults.access_denied()


def _offers(call: Call) -> bool:
    told = call.params.get("RequestPayer")
    if call.request is not None:
        told = told or call.request.headers.get("x-amz-request-payer")
        told = told or query_of(call).get("x-amz-request-payer")
    return str(told or "").lower() == "requester"


def charged(bucket: Bucket, call: Call) -> bool:
    """Whether the answer says that the caller is charged."""
    return KIND in bucket.settings and _others(bucket, call)
