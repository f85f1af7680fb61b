"""Access control lists: grants, canned lists, and what they permit.

https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
A grant is ``[grantee, permission]``; a grantee is a canonical id or a group's URI. Stored without
the owner's own FULL_CONTROL only where a canned list says so: a list is kept whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call
from pileus.services.s3 import faults
from pileus.services.s3.names import canonical_id
from pileus.services.s3.room import Bucket, Room
from pileus.services.s3.rows import Meta

ALL_USERS = "http://acs.amazonaws.com/groups/global/AllUsers"
AUTHENTICATED = "http://acs.amazonaws.com/groups/global/AuthenticatedUsers"
DELIVERER = "logging.s3.amazonaws.com"  # the service that puts access logs
LOG_DELIVERY = "http://acs.amazonaws.com/groups/s3/LogDelivery"
GROUPS = frozenset({ALL_USERS, AUTHENTICATED, LOG_DELIVERY})
PERMISSIONS = ("FULL_CONTROL", "READ", "WRITE", "READ_ACP", "WRITE_ACP")
_CANNED: dict[str, list[list[str]]] = {
    "private": [],
    "public-read": [[ALL_USERS, "READ"]],
    "public-read-write": [[ALL_USERS, "READ"], [ALL_USERS, "WRITE"]],
    "authenticated-read": [[AUTHENTICATED, "READ"]],
    "log-delivery-write": [[LOG_DELIVERY, "WRITE"], [LOG_DELIVERY, "READ_ACP"]],
    "aws-exec-read": [],
}
_HEADERS = {f"x-amz-grant-{p.lower().replace('_', '-')}": p for p in PERMISSIONS}
GRANTS_MAX = 100

# What a permission lets its grantee do (user guide, "ACL permissions and access policy
# permissions").
_BUCKET_ACTIONS = {
    "READ": {"s3:ListBucket", "s3:ListBucketVersions", "s3:ListBucketMultipartUploads"},
    "WRITE": {
        "s3:PutObject",
        "s3:DeleteObject",
        "s3:DeleteObjectVersion",
        "s3:AbortMultipartUpload",
        "s3:ListMultipartUploadParts",
    },
    "READ_ACP": {"s3:GetBucketAcl"},
    "WRITE_ACP": {"s3:PutBucketAcl"},
}
_OBJECT_ACTIONS = {
    "READ": {"s3:GetObject", "s3:GetObjectVersion"},
    "READ_ACP": {"s3:GetObjectAcl", "s3:GetObjectVersionAcl"},
    "WRITE_ACP": {"s3:PutObjectAcl", "s3:PutObjectVersionAcl"},
}


def canned(name: str, owner: str, bucket_owner: str) -> list[list[str]]:
    """The grants of a canned list. ``owner`` and ``bucket_owner`` are accounts."""
    own = [[canonical_id(owner), "FULL_CONTROL"]]
    if name == "bucket-owner-read":
        return own if owner == bucket_owner else [*own, [canonical_id(bucket_owner), "READ"]]
    if name == "bucket-owner-full-control":
        if owner == bucket_owner:
            return own
        return [*own, [canonical_id(bucket_owner), "FULL_CONTROL"]]
    if name not in _CANNED:
        raise faults.invalid_argument("", "x-amz-acl", name)
    return own + _CANNED[name]


def of_write(
    headers: Mapping[str, str], bucket: Bucket, account: str
) -> tuple[str, list[list[str]] | None]:
    """Who owns what ``account`` writes, and the list it asks for (user guide, "Controlling
    ownership of objects"). What the anonymous write is the bucket owner's."""
    told = bucket.settings.get("ownership")
    preferred = told is not None and told["Rules"][0]["ObjectOwnership"] == "BucketOwnerPreferred"
    given = headers.get("x-amz-acl") == "bucket-owner-full-control"
    own = not bucket.acls or not account or (preferred and given)
    owner = bucket.owner if own else account
    # Where lists are off only the writer's wish counts, not whose the object will be.
    return owner, of_headers(headers, bucket, owner if bucket.acls else account)


def asks(headers: Mapping[str, str]) -> bool:
    """Whether a write's headers ask for a list."""
    return "x-amz-acl" in headers or any(h in headers for h in _HEADERS)


def of_headers(headers: Mapping[str, str], bucket: Bucket, owner: str) -> list[list[str]] | None:
    """The list a write asks for, None for the default one; ``owner`` is the account that will own
    the thing. Checked against ownership controls and public access block."""
    name = headers.get("x-amz-acl")
    granted = {p: headers[h] for h, p in _HEADERS.items() if h in headers}
    if name is None and not granted:
        return None
    if name is not None and granted:
        raise faults.invalid_request("Specifying both Canned ACLs and Header Grants is not allowed")
    if name is not None:
        grants = canned(name, owner, bucket.owner)
    else:
        grants = [
            [_grantee(t, f"x-amz-grant-{p.lower().replace('_', '-')}"), p]
            for p, text in granted.items()
            for t in text.split(",")
        ]
    return permitted(grants, bucket, name or "", by="id")


def permitted(
    grants: list[list[str]], bucket: Bucket, name: str = "", by: str = "CanonicalUser/ID"
) -> list[list[str]] | None:
    """The list, if this bucket takes lists, it is not a blocked public one, and names only
    accounts there are. ``by``: what an account's id is called where the list came from."""
    for grantee, _ in grants:
        if grantee not in GROUPS and grantee not in bucket.accounts:
            raise faults.invalid_argument("Invalid id", by, grantee)
    if not bucket.acls:
        if name == "bucket-owner-full-control" or (not name and _only_owner(grants, bucket.owner)):
            return None
        raise AwsError("AccessControlListNotSupported", "The bucket does not allow ACLs", 400)
    if bucket.blocks.get("BlockPublicAcls") and is_public(grants):
        raise faults.access_denied()
    if len(grants) > GRANTS_MAX:
        raise faults.malformed_xml()
    return grants


def grant_headers(grants: list[dict[str, Any]]) -> dict[str, str]:
    """Grants of a document as the parameters of a write (``GrantRead``: ``id="…",uri="…"``)."""
    names = {"FULL_CONTROL": "GrantFullControl", "READ": "GrantRead"}
    out: dict[str, list[str]] = {}
    for grant in grants:
        grantee, name = grant.get("Grantee") or {}, names.get(str(grant.get("Permission")))
        kind = "uri" if grantee.get("URI") else "id"
        value = grantee.get("URI") or grantee.get("ID")
        if name and value:
            out.setdefault(name, []).append(f'{kind}="{value}"')
    return {name: ",".join(told) for name, told in out.items()}


def _only_owner(grants: list[list[str]], owner: str) -> bool:
    return all(g == [canonical_id(owner), "FULL_CONTROL"] for g in grants)


def is_public(grants: list[list[str]]) -> bool:
    return any(g[0] in (ALL_USERS, AUTHENTICATED) for g in grants)


def _grantee(text: str, header: str) -> str:
    """``id="…"`` or ``uri="…"`` of a grant header."""
    kind, _, value = text.strip().partition("=")
    value = value.strip().strip('"')
    if kind.lower() == "id":
        return value
    if kind.lower() == "uri":
        if value not in GROUPS:
            raise faults.invalid_argument("Invalid group uri", "uri", value)
        return value
    if kind.lower() == "emailaddress":
        raise AwsError(
            "UnresolvableGrantByEmailAddress",
            "The e-mail address you provided does not match any account on record.",
        )
    raise faults.invalid_argument("Argument format not recognized", header, text)


# -- what it permits ---------------------------------------------------------------------------


def grants_of(meta: Meta | None, owner: str) -> list[list[str]]:
    """A version's list; the default is the owner's full control."""
    if meta is not None and meta.grants is not None:
        return meta.grants
    return [[canonical_id(owner), "FULL_CONTROL"]]


def allows(grants: list[list[str]], call: Call, action: str, bucket: Bucket, obj: bool) -> bool:
    """Whether a list lets the caller do ``action``; public grants count unless ignored."""
    table = _OBJECT_ACTIONS if obj else _BUCKET_ACTIONS
    anonymous = call.principal.kind == "anonymous"
    served = call.principal.kind in ("service", "oai")
    me = "" if anonymous or served else canonical_id(call.principal.account)
    for grantee, permission in grants:
        if grantee in (ALL_USERS, AUTHENTICATED):
            if bucket.blocks.get("IgnorePublicAcls") or (grantee == AUTHENTICATED and anonymous):
                continue
        elif grantee == LOG_DELIVERY:
            if call.principal.kind != "service" or call.principal.name != DELIVERER:
                continue
        elif grantee != me:
            continue
        if permission == "FULL_CONTROL":
            if any(action in actions for actions in table.values()):
                return True
        elif action in table.get(permission, ()):
            return True
    return False


# -- the four operations -----------------------------------------------------------------------


def shown(room: Room, grants: list[list[str]], owner: str, bucket: Bucket) -> dict[str, Any]:
    """A list as the API tells it."""
    told = [{"Grantee": _shown_grantee(room, g, bucket), "Permission": p} for g, p in grants]
    return {"Owner": room.owner_of(owner), "Grants": told}


def _shown_grantee(room: Room, grantee: str, bucket: Bucket) -> dict[str, str]:
    if grantee in GROUPS:
        return {"Type": "Group", "URI": grantee}
    account = bucket.accounts.get(grantee)
    told = room.owner_of(account) if account is not None else {"ID": grantee}
    return {**told, "Type": "CanonicalUser"}


def _of_call(call: Call, bucket: Bucket, owner: str) -> list[list[str]] | None:
    """The list a PutBucketAcl or PutObjectAcl call gives: by header or by document."""
    params = call.params
    headers = call.request.headers if call.request is not None else {}
    if "ACL" in params:
        headers = {**headers, "x-amz-acl": params["ACL"]}
    document = params.get("AccessControlPolicy")
    if asks(headers):
        if document and document.get("Grants"):
            raise AwsError("UnexpectedContent", "This request does not support content", 400)
        return of_headers(headers, bucket, owner)
    if document is None:
        raise AwsError(
            "MissingSecurityHeader",
            "Your request was missing a required header",
            400,
            fields={"MissingHeaderName": "x-amz-acl"},
        )
    told_owner = (document.get("Owner") or {}).get("ID")
    if told_owner is None:
        raise _malformed()
    if told_owner not in bucket.accounts:
        raise faults.invalid_argument("Invalid id", "CanonicalUser/ID", told_owner)
    if told_owner != canonical_id(owner):
        raise faults.access_denied()
    return permitted([_of_document(g) for g in document.get("Grants") or []], bucket)


def _of_document(grant: dict[str, Any]) -> list[str]:
    grantee, permission = grant.get("Grantee") or {}, grant.get("Permission")
    if permission not in PERMISSIONS:
        raise _malformed()
    if grantee.get("URI"):
        if grantee["URI"] not in GROUPS:
            raise faults.invalid_argument("Invalid group uri", "Group/URI", grantee["URI"])
        return [grantee["URI"], permission]
    if grantee.get("ID") and grantee.get("Type", "CanonicalUser") == "CanonicalUser":
        return [grantee["ID"], permission]
    if grantee.get("EmailAddress"):
        raise AwsError(
            "UnresolvableGrantByEmailAddress",
            "The e-mail address you provided does not match any account on record.",
        )
    raise _malformed()


def _malformed() -> AwsError:
    return AwsError("MalformedACLError", faults.malformed_xml().message)


def get_bucket_acl(room: Room, call: Call) -> dict[str, Any]:
    bucket = room.bucket(call.params["Bucket"])
    return shown(room, bucket_grants(bucket), bucket.owner, bucket)


def bucket_grants(bucket: Bucket) -> list[list[str]]:
    """A bucket's list; the owner's full control where none was put or lists are off."""
    told = bucket.settings.get("acl") if bucket.acls else None
    return [[canonical_id(bucket.owner), "FULL_CONTROL"]] if told is None else list(told)


async def put_bucket_acl(room: Room, call: Call) -> None:
    bucket = room.bucket(call.params["Bucket"])
    grants = _of_call(call, bucket, bucket.owner)
    if grants is not None:
        await room.configure(call, bucket.name, "acl", grants)


def get_object_acl(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    bucket = room.bucket(params["Bucket"])
    _, _, meta = room.find(params["Bucket"], params["Key"], params.get("VersionId"))
    if meta.marker:
        raise faults.marker_in_the_way("GET")
    owner = meta.owner or bucket.owner
    return shown(room, grants_of(meta if bucket.acls else None, owner), owner, bucket)


async def put_object_acl(room: Room, call: Call) -> dict[str, Any]:
    params = call.params
    bucket = room.bucket(params["Bucket"])
    version = params.get("VersionId")
    meta = room.version(call, "PUT")
    grants = _of_call(call, bucket, meta.owner or bucket.owner)
    if grants is not None:
        args = [params["Bucket"], params["Key"], version, {"grants": grants}]
        await room.submit("s3.edit", args, call)
    return {}
