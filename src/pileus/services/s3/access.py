"""The permissions each call needs (Service Authorization Reference, "Amazon S3").

A bucket's policy travels with them as resource policy; what an access control list grants is told
as one more statement of it. Block Public Access takes effect here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Access, Call, Principal
from pileus.services.s3 import acl, condition_keys, faults, object_lock, requester
from pileus.services.s3.actions import BUCKET_ACTIONS, HOT, OBJECT_ACTIONS, VERSIONED
from pileus.services.s3.copy_source import parse_source
from pileus.services.s3.names import bucket_arn, object_arn
from pileus.services.s3.post_object import resolved_key
from pileus.services.s3.query import query_of
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Meta

_NONE: dict[str, Any] = {}
# What a bucket's owner may do with any object in it, whoever owns it.
_OF_BUCKETS_OWNER = frozenset(
    {
        *("s3:DeleteObject", "s3:DeleteObjectVersion", "s3:RestoreObject"),
        *("s3:PutObject", "s3:AbortMultipartUpload"),
    }
)
_ACCOUNT = re.compile(r"\d{12}\Z", re.ASCII)


def access(room: Room, call: Call) -> Sequence[Access]:
    """What ``call`` must be permitted."""
    operation = call.operation
    if operation in HOT:
        return _hot(room, call, HOT[operation])
    if operation in BUCKET_ACTIONS:
        return _on_bucket(room, call, BUCKET_ACTIONS[operation])
    if operation in OBJECT_ACTIONS:
        return _on_object(room, call, OBJECT_ACTIONS[operation])
    return _SPECIAL[operation](room, call)


def _hot(room: Room, call: Call, action: str) -> list[Access]:
    """The direct operations: parameters are read from the request itself."""
    name, key = call.params["Bucket"], call.params["Key"]
    bucket = room.bucket(name)
    room.count(call, bucket)
    query = query_of(call)
    context: dict[str, Any] = _NONE
    version = query.get("versionId") if query else None
    meta: Meta | None = None
    if version is not None and action in VERSIONED:
        action = VERSIONED[action]
        context = {"s3:VersionId": version}
    if call.operation in ("GetObject", "HeadObject"):
        meta = _look(room, call, name, key, version)
        if meta is None and version is None:  # all there is to learn is that there is no such key
            return [need(room, call, "s3:ListBucket", bucket, None, {"s3:prefix": key})]
        if meta is not None and meta.tags:
            context = {**context, **condition_keys.of_tags(meta)}
    headers = call.request.headers if call.request is not None else _NONE
    check_owner(headers.get("x-amz-expected-bucket-owner"), bucket)
    if call.operation != "PutObject":
        out = [need(room, call, action, bucket, key, context, meta)]
        if object_lock.BYPASS in headers:
            out += _bypass(room, call, bucket, key)
        return out
    context = {**context, **condition_keys.of_headers(headers)}
    out = [need(room, call, action, bucket, key, context, meta)]
    if "x-amz-tagging" in headers:
        out.append(need(room, call, "s3:PutObjectTagging", bucket, key, context))
    if acl.asks(headers) and call.principal.kind != "service":  # logs, inventories
        out.append(_listing(room, call, bucket, key, context))
    return out + _locking(room, call, bucket, key, headers)


def _listing(room: Room, call: Call, bucket: Bucket, key: str, context: dict[str, Any]) -> Access:
    """To write with a list. What another account writes will be its own: the bucket's policy need
    not allow it to say who else may read (bucket policy examples, "Granting cross-account
    permissions to upload objects"), but may deny it."""
    out = need(room, call, "s3:PutObjectAcl", bucket, key, context)
    foreign = call.account not in ("", bucket.owner)
    return replace(out, owner=call.account) if foreign else out


def _locking(room: Room, call: Call, bucket: Bucket, key: str, headers: Any) -> list[Access]:
    """To write under a lock takes permission to set it."""
    if not object_lock.asked(headers):
        return []
    context = condition_keys.of_lock(headers)
    out = []
    if object_lock.MODE in headers:
        out.append(need(room, call, "s3:PutObjectRetention", bucket, key, context))
    if object_lock.HOLD in headers:
        out.append(need(room, call, "s3:PutObjectLegalHold", bucket, key, context))
    return out


def _bypass(room: Room, call: Call, bucket: Bucket, key: str) -> list[Access]:
    """The header that lifts governance counts only with its own permission."""
    told = call.request.headers.get(object_lock.BYPASS, "") if call.request is not None else ""
    asked = told.lower() == "true" or call.params.get("BypassGovernanceRetention")
    return [need(room, call, "s3:BypassGovernanceRetention", bucket, key)] if asked else []


def _look(room: Room, call: Call, name: str, key: str, version: str | None) -> Meta | None:
    """Find the version now: its tags and its list count, and the operation needs it anyway."""
    try:
        call.scratch = room.find(name, key, version)
    except AwsError:
        return None
    meta: Meta = call.scratch[2]
    return meta


def need(
    room: Room,
    call: Call,
    action: str,
    bucket: Bucket,
    key: str | None = None,
    context: dict[str, Any] = _NONE,
    meta: Meta | None = None,
) -> Access:
    """One permission on a bucket (``key`` None) or an object."""
    resource = bucket_arn(bucket.name) if key is None else object_arn(bucket.name, key)
    requester.check(bucket, call)
    policy = effective_policy(bucket, call.principal)
    owner = bucket.owner
    foreign = bucket.acls and meta is not None and meta.owner not in ("", owner)
    if foreign and meta is not None and action not in _OF_BUCKETS_OWNER:
        owner, policy = meta.owner, _denials(policy)
    if bucket.acls and _granted(call, action, bucket, key, meta):
        statement = {"Effect": "Allow", "Principal": "*", "Action": action, "Resource": resource}
        told = policy.get("Statement", []) if policy else []
        told = told if isinstance(told, list) else [told]
        policy = {"Version": "2012-10-17", **(policy or {}), "Statement": [*told, statement]}
    if policy is None and owner == call.account:
        return Access(action, resource, None, "", context)  # the decision can be remembered
    return Access(action, resource, policy, owner, context)


def _denials(policy: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a bucket's policy says of an object that another account owns: its owner decides who
    may, the bucket's owner who may not (S3 user guide, "Bucket policies", object ownership)."""
    told = policy.get("Statement", []) if policy else []
    told = [s for s in (told if isinstance(told, list) else [told]) if s.get("Effect") == "Deny"]
    return {**(policy or {}), "Statement": told} if told else None


def effective_policy(bucket: Bucket, principal: Principal) -> dict[str, Any] | None:
    """The policy as it counts for this caller: RestrictPublicBuckets hides a public one from all
    but the owner's account and AWS services."""
    outsider = principal.account != bucket.owner and principal.kind not in ("service", "oai")
    hidden = outsider and bucket.public and bucket.blocks.get("RestrictPublicBuckets")
    return None if hidden else bucket.policy


def _granted(call: Call, action: str, bucket: Bucket, key: str | None, meta: Meta | None) -> bool:
    if key is not None and meta is not None:
        grants = acl.grants_of(meta, meta.owner or bucket.owner)
        if acl.allows(grants, call, action, bucket, obj=True):
            return True
    if key is not None and meta is None and action in ("s3:GetObject", "s3:GetObjectVersion"):
        action = "s3:ListBucket"  # there is no object: who may list may learn that
    return acl.allows(acl.bucket_grants(bucket), call, action, bucket, obj=False)


# -- operations the model parses ---------------------------------------------------------------


def _on_bucket(room: Room, call: Call, action: str) -> list[Access]:
    params = call.params
    bucket = room.bucket(params["Bucket"])
    expected(params, bucket)
    context: dict[str, Any] = {}
    if action in ("s3:ListBucket", "s3:ListBucketVersions"):
        context["s3:prefix"] = params.get("Prefix") or ""
        if params.get("Delimiter"):
            context["s3:delimiter"] = params["Delimiter"]
        if params.get("MaxKeys") is not None:
            context["s3:max-keys"] = str(params["MaxKeys"])
    elif call.request is not None:
        context = condition_keys.of_headers(call.request.headers)
    return [need(room, call, action, bucket, None, context)]


def expected(params: dict[str, Any], bucket: Bucket) -> None:
    """x-amz-expected-bucket-owner."""
    check_owner(params.get("ExpectedBucketOwner"), bucket)


def check_owner(told: str | None, bucket: Bucket) -> None:
    """403 where another account owns the bucket (S3 user guide, "Verifying bucket ownership with
    bucket owner condition"), 400 for what is no account id (S3 API reference, "Error responses":
    InvalidBucketOwnerAWSAccountID; its text as S3 tells it)."""
    if told is None or told == bucket.owner:
        return
    if not _ACCOUNT.match(told):
        raise AwsError(
            "InvalidBucketOwnerAWSAccountID",
            "The value of the expected bucket owner parameter must be an AWS Account ID..."
            f" [{told}]",
        )
    raise faults.access_denied()


def _on_object(room: Room, call: Call, action: str) -> list[Access]:
    params = call.params
    bucket = room.bucket(params["Bucket"])
    expected(params, bucket)
    context: dict[str, Any] = {}
    version = params.get("VersionId")
    if version is not None and action in VERSIONED:
        action, context = VERSIONED[action], {"s3:VersionId": version}
    if call.request is not None:
        context.update(condition_keys.of_headers(call.request.headers))
    meta = _look(room, call, params["Bucket"], params["Key"], version)
    if meta is not None and meta.tags:
        context.update(condition_keys.of_tags(meta))
    if params.get("Tagging"):
        told = params["Tagging"].get("TagSet") or []
        context.update(condition_keys.of_new_tags({t["Key"]: t["Value"] for t in told}))
    out = [need(room, call, action, bucket, params["Key"], context, meta)]
    return out + _bypass(room, call, bucket, params["Key"])


def _copy(room: Room, call: Call) -> list[Access]:
    params = call.params
    name, key, version = parse_source(params["CopySource"])
    bucket = room.bucket(name)
    meta = _look(room, call, name, key, version)
    action = "s3:GetObject" if version is None else "s3:GetObjectVersion"
    context = {} if meta is None else condition_keys.of_tags(meta)
    out = [need(room, call, action, bucket, key, context, meta)]
    check_owner(params.get("ExpectedSourceBucketOwner"), bucket)
    return out + _on_object_write(room, call)


def _on_object_write(room: Room, call: Call) -> list[Access]:
    params = call.params
    bucket = room.bucket(params["Bucket"])
    expected(params, bucket)
    headers = call.request.headers if call.request is not None else {}
    context = condition_keys.of_headers(headers)
    key = params["Key"]
    out = [need(room, call, "s3:PutObject", bucket, key, context)]
    if params.get("Tagging"):
        out.append(need(room, call, "s3:PutObjectTagging", bucket, key, context))
    if acl.asks(headers):
        out.append(_listing(room, call, bucket, key, context))
    return out + _locking(room, call, bucket, key, headers)


def _post(room: Room, call: Call) -> list[Access]:
    bucket = room.bucket(call.params["Bucket"])
    context = condition_keys.of_headers(call.params["Fields"])
    key = resolved_key(call.params)
    out = [need(room, call, "s3:PutObject", bucket, key, context)]
    return out + _locking(room, call, bucket, key, call.params["Fields"])


def _bulk_delete(room: Room, call: Call) -> list[Access]:
    """Each key is permitted on its own, when it is deleted."""
    expected(call.params, room.bucket(call.params["Bucket"]))
    return []


_SPECIAL: dict[str, Any] = {
    "CreateBucket": lambda room, call: _create_bucket(call),
    "ListBuckets": lambda room, call: [Access("s3:ListAllMyBuckets", "*")],
    "CopyObject": _copy,
    "UploadPartCopy": _copy,
    "CreateMultipartUpload": _on_object_write,
    "CompleteMultipartUpload": _on_object_write,
    "PostObject": _post,
    "DeleteObjects": _bulk_delete,
    "PreflightRequest": lambda room, call: [],
}


def _create_bucket(call: Call) -> list[Access]:
    resource = bucket_arn(call.params["Bucket"])
    headers = call.request.headers if call.request is not None else {}
    context = condition_keys.of_headers(headers)
    where = (call.params.get("CreateBucketConfiguration") or {}).get("LocationConstraint")
    if where:
        context["s3:locationconstraint"] = where
    out = [Access("s3:CreateBucket", resource, context=context)]
    if (call.params.get("CreateBucketConfiguration") or {}).get("Tags"):
        out.append(Access("s3:TagResource", resource))
    if acl.asks(headers):
        out.append(Access("s3:PutBucketAcl", resource, context=context))
    if "x-amz-object-ownership" in headers:
        out.append(Access("s3:PutBucketOwnershipControls", resource, context=context))
    if call.params.get("ObjectLockEnabledForBucket"):
        out.append(Access("s3:PutBucketVersioning", resource, context=context))
        out.append(Access("s3:PutBucketObjectLockConfiguration", resource, context=context))
    return out
