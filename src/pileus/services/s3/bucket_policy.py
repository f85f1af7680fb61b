"""Bucket policies and what makes them public.

https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketPolicy.html
"""

from __future__ import annotations

import re
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.policy.document import Malformed, compile_document
from pileus.services.call import Call, HttpResponse
from pileus.services.s3 import faults
from pileus.services.s3.acl import bucket_grants
from pileus.services.s3.acl import is_public as is_public_list
from pileus.services.s3.names import bucket_arn
from pileus.services.s3.publicness import is_public, listed
from pileus.services.s3.room import BLOCKS, Room

POLICY_BYTES_MAX = 20 * 1024


def _malformed(message: str) -> AwsError:
    return AwsError("MalformedPolicy", message, 400)


async def put_policy(room: Room, call: Call) -> HttpResponse:
    """Check and keep the document; a public one is refused where BlockPublicPolicy says so."""
    name, text = call.params["Bucket"], call.params.get("Policy") or ""
    if len(text.encode()) > POLICY_BYTES_MAX:
        raise _malformed("Policy exceeds the maximum allowed document size.")
    document = _checked(text, name)
    bucket = room.bucket(name)
    if bucket.blocks.get("BlockPublicPolicy") and is_public(document):
        raise AwsError(
            "AccessDenied",
            f"User: {call.principal.arn} is not authorized to perform: s3:PutBucketPolicy on"
            f' resource: "{bucket_arn(name)}" because public policies are prevented by the'
            " BlockPublicPolicy setting in S3 Block Public Access.",
            403,
        )
    await room.configure(call, name, "policy", {"text": text})
    return HttpResponse(204)  # as S3 answers, whatever its model says


def _checked(text: str, name: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        raise _malformed("Policies must be valid JSON and the first byte must be '{'")
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _malformed("This policy contains invalid Json") from None
    if not document.get("Statement"):
        raise _malformed("Missing required field Statement")
    for statement in listed(document.get("Statement") or []):
        if not isinstance(statement, dict):
            raise _malformed("Missing required field Statement")
        _check_statement(statement, name)
    try:
        compile_document(document, identity=False)
    except Malformed as error:
        raise _malformed(str(error)) from error
    return dict(document)


def _check_statement(statement: dict[str, Any], name: str) -> None:
    if "Principal" not in statement and "NotPrincipal" not in statement:
        raise _malformed("Missing required field Principal")
    named = statement.get("Principal", statement.get("NotPrincipal"))
    if isinstance(named, dict) and not all(v and all(listed(v)) for v in named.values()):
        raise _malformed("Invalid principal in policy")
    if "NotPrincipal" in statement and statement.get("Effect") == "Allow":
        raise _malformed("Allow with NotPrincipal is not allowed.")
    if "Action" not in statement and "NotAction" not in statement:
        raise _malformed("Missing required field Action")
    if "Resource" not in statement and "NotResource" not in statement:
        raise _malformed("Missing required field Resource")
    for action in listed(statement.get("Action", statement.get("NotAction"))):
        if action != "*" and not str(action).lower().startswith("s3:"):
            raise _malformed("Policy has invalid action")
    for resource in listed(statement.get("Resource", statement.get("NotResource"))):
        if not _own(str(resource), name):
            raise _malformed("Policy has invalid resource")


def _own(resource: str, name: str) -> bool:
    """Whether a resource pattern can mean this bucket or what is in it."""
    place, _, _ = resource.partition("/")
    pattern = re.escape(place).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(pattern, bucket_arn(name)) is not None


def get_policy(room: Room, call: Call) -> dict[str, Any]:
    absent = ("NoSuchBucketPolicy", "The bucket policy does not exist")
    return {"Policy": room.setting(call, "policy", *absent)["text"]}


async def delete_policy(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "policy", None)


def get_policy_status(room: Room, call: Call) -> dict[str, Any]:
    """Whether the policy, or a public list that counts, opens the bucket to everyone."""
    bucket = room.bucket(call.params["Bucket"])
    listed_public = not bucket.blocks.get("IgnorePublicAcls") and is_public_list(
        bucket_grants(bucket)
    )
    return {"PolicyStatus": {"IsPublic": bucket.public or listed_public}}


# -- block public access -----------------------------------------------------------------------


def get_block(room: Room, call: Call) -> dict[str, Any]:
    absent = (
        "NoSuchPublicAccessBlockConfiguration",
        "The public access block configuration was not found",
    )
    told = room.setting(call, "public-access-block", *absent)
    return {"PublicAccessBlockConfiguration": told}


async def put_block(room: Room, call: Call) -> None:
    told = call.params.get("PublicAccessBlockConfiguration")
    if told is None:
        raise faults.malformed_xml()
    value = {block: bool(told.get(block)) for block in BLOCKS}
    await room.configure(call, call.params["Bucket"], "public-access-block", value)


async def delete_block(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "public-access-block", None)


# -- ownership ---------------------------------------------------------------------------------


def get_ownership(room: Room, call: Call) -> dict[str, Any]:
    absent = ("OwnershipControlsNotFoundError", "The bucket ownership controls were not found")
    return {"OwnershipControls": room.setting(call, "ownership", *absent)}


async def put_ownership(room: Room, call: Call) -> None:
    rules = (call.params.get("OwnershipControls") or {}).get("Rules") or []
    known = ("BucketOwnerEnforced", "BucketOwnerPreferred", "ObjectWriter")
    if len(rules) != 1 or rules[0].get("ObjectOwnership") not in known:
        raise faults.malformed_xml()
    bucket = room.bucket(call.params["Bucket"])
    told = bucket.settings.get("acl") or []
    if rules[0]["ObjectOwnership"] == "BucketOwnerEnforced" and len(told) > 1:
        raise AwsError(
            "InvalidBucketAclWithObjectOwnership",
            "Bucket cannot have ACLs set with ObjectOwnership's BucketOwnerEnforced setting",
        )
    await room.configure(call, bucket.name, "ownership", {"Rules": rules})


async def delete_ownership(room: Room, call: Call) -> None:
    await room.configure(call, call.params["Bucket"], "ownership", None)
