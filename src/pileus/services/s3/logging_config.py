"""PutBucketLogging and GetBucketLogging.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketLogging.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import faults
from pileus.services.s3.acl import GROUPS, PERMISSIONS
from pileus.services.s3.room import Room

KIND = "logging"
PREFIX_BYTES_MAX = 800


def get_logging(room: Room, call: Call) -> dict[str, Any]:
    told = room.bucket(call.params["Bucket"]).settings.get(KIND)
    return {"LoggingEnabled": told} if told else {}


async def put_logging(room: Room, call: Call) -> None:
    """Keep where the log goes; an empty document turns it off."""
    name = call.params["Bucket"]
    told = (call.params.get("BucketLoggingStatus") or {}).get("LoggingEnabled")
    if told is not None:
        _check(room, name, told)
    await room.configure(call, name, KIND, told)


def _check(room: Room, name: str, told: dict[str, Any]) -> None:
    target = told.get("TargetBucket")
    if not target or "TargetPrefix" not in told:
        raise faults.malformed_xml()
    if len(str(told["TargetPrefix"]).encode()) > PREFIX_BYTES_MAX:
        raise faults.invalid_argument("The target prefix is too long", "TargetPrefix")
    source = room.bucket(name)
    try:
        found = room.bucket(target)
    except AwsError:
        raise _unfit("The target bucket for logging does not exist", target) from None
    if found.owner != source.owner:
        raise _unfit("The owner for the bucket to be logged and the target bucket must be the same")
    if found.region != source.region:
        raise AwsError(
            "CrossLocationLoggingProhibitted",
            "Cross S3 location logging not allowed. ",
            403,
            fields={
                "SourceBucketLocation": None if source.region == "us-east-1" else source.region,
                "TargetBucketLocation": found.region,
            },
        )
    kind = told.get("TargetObjectKeyFormat") or {}
    if len(kind) > 1:
        raise faults.malformed_xml()
    _check_grants(told.get("TargetGrants") or [], bool(found.acls))


def _check_grants(grants: list[dict[str, Any]], lists: bool) -> None:
    if grants and not lists:
        raise AwsError(
            "InvalidTargetBucketForLogging",
            "Bucket owner enforced buckets cannot have target grants; use a bucket policy.",
        )
    for grant in grants:
        grantee = grant.get("Grantee") or {}
        if grant.get("Permission") not in PERMISSIONS:  # more than documented, as recorded
            raise faults.malformed_xml()
        if grantee.get("URI") and grantee["URI"] not in GROUPS:
            raise faults.invalid_argument("Invalid group uri", "uri", grantee["URI"])


def _unfit(message: str, target: str = "") -> AwsError:
    fields = {"TargetBucket": target} if target else {}
    return AwsError("InvalidTargetBucketForLogging", message, fields=fields)
