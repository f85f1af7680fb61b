"""Buckets: create, head, list, delete, location.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import acl, faults, rows
from pileus.services.s3.headers import BUCKET_TAGS_MAX, SYSTEM_TAG, check_tags, moment
from pileus.services.s3.names import bucket_arn, check_bucket, check_namespace
from pileus.services.s3.room import BLOCKS, Bucket, Room
from pileus.state import keys

BUCKETS_PAGE_MAX = 10_000
PAGE = 500
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_OLD_NAMES = {"EU": "eu-west-1"}  # location constraints that are no region
OWNERSHIPS = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")


async def create_bucket(room: Room, call: Call) -> dict[str, Any]:
    """A bucket of the caller's account; public access blocked and lists off, as AWS since 2023."""
    params = call.params
    name = check_bucket(params["Bucket"])
    region = _region(room, call)
    check_namespace(name, params.get("BucketNamespace"), call.account, region)
    ownership = params.get("ObjectOwnership")
    if ownership is None:
        ownership = _usual_ownership(room, params.get("ACL"))
    if ownership not in OWNERSHIPS:
        raise faults.invalid_argument(
            f"Invalid x-amz-object-ownership header: {ownership}", "x-amz-object-ownership", None
        )
    settings = {
        "ownership": {"Rules": [{"ObjectOwnership": ownership}]},
        "public-access-block": dict.fromkeys(BLOCKS, not room.config.s3_legacy_defaults),
    }
    tags = (params.get("CreateBucketConfiguration") or {}).get("Tags") or []
    if tags:
        pairs = [(t["Key"], t["Value"]) for t in tags]
        if any(name.lower().startswith("aws:") for name, _ in pairs):
            raise AwsError("InvalidTag", SYSTEM_TAG)
        settings["tagging"] = check_tags(pairs, BUCKET_TAGS_MAX)
    headers = call.request.headers if call.request is not None else {}
    if params.get("ACL"):
        headers = {**headers, "x-amz-acl": params["ACL"]}
    wanted = _grants(room, name, call, headers, settings)
    if wanted is not None:
        settings["acl"] = wanted
    record = {
        "owner": call.account,
        "region": region,
        "created_ms": room.clock.now_ms(),
        "again": region == "us-east-1" and not tags,  # as recorded of AWS, the same tags or not
    }
    if _told_location(params) in _OLD_NAMES:
        record["location"] = _told_location(params)
    if params.get("ObjectLockEnabledForBucket"):
        record |= {"versioning": "Enabled", "lock": {}}
    told = {kind: orjson.dumps(value) for kind, value in settings.items()}
    await room.submit("s3.create_bucket", [name, record, told], call)
    return {"Location": f"/{name}", "BucketArn": bucket_arn(name)}


def _usual_ownership(room: Room, canned: str | None) -> str:
    """Who owns the objects of a bucket whose maker does not say. A maker that names the private
    list means to use lists, as rclone and older tools do with each object: AWS leaves them on."""
    if room.config.s3_legacy_defaults:
        return "ObjectWriter"
    return "BucketOwnerPreferred" if canned == "private" else "BucketOwnerEnforced"


def _grants(
    room: Room, name: str, call: Call, headers: dict[str, str], settings: dict[str, Any]
) -> list[list[str]] | None:
    if not acl.asks(headers):
        return None
    if "x-amz-acl" in headers:
        acl.canned(headers["x-amz-acl"], call.account, call.account)  # is it one?
    ownership = settings["ownership"]["Rules"][0]["ObjectOwnership"]
    if ownership == "BucketOwnerEnforced" and headers.get("x-amz-acl") != "private":
        raise AwsError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )
    if ownership == "BucketOwnerEnforced":  # the private list is what such a bucket has anyway
        return None
    block = settings["public-access-block"]
    fresh = Bucket(name, call.account, "", 0, "", settings, blocks=block, accounts=room.accounts)
    return acl.of_headers(headers, fresh, call.account)


def _told_location(params: dict[str, Any]) -> str | None:
    return (params.get("CreateBucketConfiguration") or {}).get("LocationConstraint")


def _region(room: Room, call: Call) -> str:
    """The region asked for; it must be the one the request goes to."""
    told = _told_location(call.params)
    if told is None:
        if _REGION.fullmatch(call.region) is None and call.region != room.config.region:
            raise AwsError(  # some tools sign with the location's old name, "US", and are told
                "AuthorizationHeaderMalformed",
                f"The authorization header is malformed; the region '{call.region}' is wrong;"
                " expecting 'us-east-1'",
                fields={"Region": "us-east-1"},
            )
        if call.region != "us-east-1":
            raise AwsError(
                "IllegalLocationConstraintException",
                "The unspecified location constraint is incompatible for the region specific"
                " endpoint this request was sent to.",
            )
        return call.region
    known = told in _OLD_NAMES or _REGION.fullmatch(told) or told == room.config.region
    if not told or (call.region == "us-east-1" and (told == call.region or not known)):
        raise AwsError(
            "InvalidLocationConstraint",
            "The specified location-constraint is not valid",
            fields={"LocationConstraint": told},
        )
    if _OLD_NAMES.get(told, told) != call.region and call.region != "us-east-1":
        raise AwsError(
            "IllegalLocationConstraintException",
            f"The {told} location constraint is incompatible for the region specific endpoint this"
            " request was sent to.",
        )
    return str(_OLD_NAMES.get(told, told))


def head_bucket(room: Room, call: Call) -> dict[str, Any]:
    bucket = room.bucket(call.params["Bucket"])
    return {
        "BucketArn": bucket_arn(bucket.name),
        "BucketRegion": bucket.region,
        "AccessPointAlias": False,
    }


def get_location(room: Room, call: Call) -> dict[str, Any]:
    """Where the bucket was asked to be: an old name of a region stays."""
    bucket = room.bucket(call.params["Bucket"])
    told = bucket.location or bucket.region
    return {"LocationConstraint": None if told == "us-east-1" else told}


async def delete_bucket(room: Room, call: Call) -> None:
    await room.submit("s3.delete_bucket", [call.params["Bucket"]], call)


async def index_owners(room: Room) -> None:
    """Once per home: buckets of a cloud that had no index of owners get into it."""
    if room.store.get(rows.owned_mark()) is not None:
        return
    names = [keys.split(r.key)[2].decode() for r in room.store.partition(rows.TABLE, "buckets")]
    await room.store.submit("s3.index_owned", [names])


async def count_held(room: Room) -> None:
    """Once per home: what lies in buckets of a cloud that did not count is counted."""
    if room.store.get(rows.tally_mark()) is not None:
        return
    for row in room.store.partition(rows.TABLE, "buckets"):
        await room.store.submit("s3.recount", [keys.split(row.key)[2].decode()])
    await room.store.submit("s3.recounted", [])


def list_buckets(room: Room, call: Call) -> dict[str, Any]:
    """The account's buckets, by name; pages where MaxBuckets asks for them."""
    params = call.params
    limit = params.get("MaxBuckets", BUCKETS_PAGE_MAX)
    if not 1 <= limit <= BUCKETS_PAGE_MAX:
        raise faults.invalid_argument(
            "Argument max-buckets must be an integer between 1 and 10000", "max-buckets", limit
        )
    prefix = params.get("Prefix") or ""
    after = _after(params.get("ContinuationToken"))
    found: list[dict[str, Any]] = []
    for name in _names(room, call.account, prefix, after):
        record = room.store.get_json(rows.bucket(name))
        if record is None or params.get("BucketRegion", record["region"]) != record["region"]:
            continue
        found.append(_shown(name, record, params))
        if len(found) > limit:
            break
    more = len(found) > limit
    found = found[:limit]
    answer: dict[str, Any] = {
        "Buckets": found,
        "Owner": room.owner_of(call.account),
        "Prefix": params.get("Prefix"),
    }
    if more:
        answer["ContinuationToken"] = base64.b64encode(found[-1]["Name"].encode()).decode()
    return answer


def _names(room: Room, account: str, prefix: str, after: str) -> Iterator[str]:
    """The account's buckets above ``after``, read page by page."""
    start = keys.partition_prefix(rows.TABLE, rows.owned_partition(account)) + prefix.encode()
    end = keys.after_prefix(start)
    if after:
        start = max(start, rows.owned(account, after) + b"\x00")
    while start < end:
        page = room.store.range(start, end, PAGE)
        for row in page:
            yield keys.split(row.key)[2].decode()
        if len(page) < PAGE:
            return
        start = page[-1].key + b"\x00"


def _shown(name: str, record: dict[str, Any], params: dict[str, Any]) -> dict[str, Any]:
    out = {
        "Name": name,
        "CreationDate": moment(record["created_ms"]),
        "BucketArn": bucket_arn(name),
    }
    if any(p in params for p in ("MaxBuckets", "Prefix", "BucketRegion", "ContinuationToken")):
        out["BucketRegion"] = record["region"]
    return out


def _after(token: str | None) -> str:
    if not token:
        return ""
    try:
        return base64.b64decode(token, validate=True).decode()
    except (binascii.Error, ValueError):
        raise faults.invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token
        ) from None
