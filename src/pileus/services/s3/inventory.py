"""Inventory configurations: which lists of a bucket's objects are put where, and how often.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketInventoryConfiguration.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import faults
from pileus.services.s3.room import Bucket, Room

KIND = "inventory"
CONFIGURATIONS_MAX = 1000
PAGE = 100
ARN = "arn:aws:s3:::"
# In the order of a report's columns.
FIELDS = (
    *("Size", "LastModifiedDate", "ETag", "StorageClass", "IsMultipartUploaded"),
    *("ReplicationStatus", "EncryptionStatus", "ObjectLockRetainUntilDate", "ObjectLockMode"),
    *("ObjectLockLegalHoldStatus", "IntelligentTieringAccessTier", "BucketKeyStatus"),
    *("ChecksumAlgorithm", "ObjectOwner", "LifecycleExpirationDate"),
)
LATER = (
    *("ObjectLockEventHoldStatus", "ObjectLockEventHoldDuration", "ObjectAccessControlList"),
    "IntelligentTieringReferenceDate",
)
_ID = re.compile(r"[\w.-]{1,64}\Z", re.ASCII)


def of(bucket: Bucket) -> dict[str, dict[str, Any]]:
    """The bucket's configurations by id."""
    return bucket.settings.get(KIND) or {}


def get_inventory(room: Room, call: Call) -> dict[str, Any]:
    found = of(room.bucket(call.params["Bucket"])).get(call.params["Id"])
    if found is None:
        raise _missing()
    return {"InventoryConfiguration": found}


def list_inventories(room: Room, call: Call) -> dict[str, Any]:
    """A hundred at a time, by id."""
    token = call.params.get("ContinuationToken")
    found = of(room.bucket(call.params["Bucket"]))
    names = sorted(name for name in found if name > (token or ""))
    page = names[:PAGE]
    answer: dict[str, Any] = {
        "InventoryConfigurationList": [found[name] for name in page],
        "IsTruncated": len(names) > PAGE,
        "ContinuationToken": token,
    }
    if len(names) > PAGE:
        answer["NextContinuationToken"] = page[-1]
    return answer


async def put_inventory(room: Room, call: Call) -> HttpResponse:
    """Add a configuration or replace the one of this id (204, as recorded of AWS)."""
    params = call.params
    told = params.get("InventoryConfiguration") or {}
    bucket = room.bucket(params["Bucket"])
    if not _ID.match(params["Id"]):
        raise faults.invalid_argument("The Id is not valid", "Id", params["Id"])
    if told.get("Id") != params["Id"]:
        raise AwsError("IdMismatch", "Document ID does not match the specified configuration ID.")
    _check(told)
    _check_destination(room, bucket, told)
    await _keep(room, call, orjson.dumps(told))
    return HttpResponse(204)


async def delete_inventory(room: Room, call: Call) -> None:
    await _keep(room, call, None)


async def _keep(room: Room, call: Call, value: bytes | None) -> None:
    args = [call.params["Bucket"], KIND, call.params["Id"], value, CONFIGURATIONS_MAX]
    if not await room.submit("s3.configure_one", args, call):
        raise _missing()


def _missing() -> AwsError:
    return AwsError("NoSuchConfiguration", "The specified configuration does not exist.", 404)


def _check(told: dict[str, Any]) -> None:
    schedule = (told.get("Schedule") or {}).get("Frequency")
    versions = told.get("IncludedObjectVersions")
    if schedule not in ("Daily", "Weekly") or versions not in ("All", "Current"):
        raise faults.malformed_xml()
    if not isinstance(told.get("IsEnabled"), bool):
        raise faults.malformed_xml()
    fields = told.get("OptionalFields") or []
    if len(set(fields)) < len(fields):
        raise faults.malformed_xml()
    for field in fields:
        if field not in (*FIELDS, *LATER):
            raise faults.malformed_xml()
        if field in LATER:
            raise faults.not_built(f"the inventory field {field}")


def _check_destination(room: Room, bucket: Bucket, told: dict[str, Any]) -> None:
    place = (told.get("Destination") or {}).get("S3BucketDestination") or {}
    arn, form = place.get("Bucket") or "", place.get("Format")
    if form not in ("CSV", "ORC", "Parquet"):
        raise faults.malformed_xml()
    if form != "CSV":
        raise faults.not_built(f"an inventory in the format {form}")
    if not arn.startswith(ARN):
        raise AwsError("InvalidS3DestinationBucket", "Invalid bucket ARN.")
    try:
        target = room.bucket(arn.removeprefix(ARN))
    except AwsError:
        target = None
    if target is None or target.region != bucket.region:
        raise AwsError(
            "InvalidS3DestinationBucket",
            "The destination bucket does not exist or is not in the source bucket's region.",
        )
    if place.get("AccountId") not in (None, target.owner):
        raise AwsError(
            "InvalidS3DestinationBucket",
            "The destination bucket is not owned by the account you specified.",
        )
