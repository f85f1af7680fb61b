"""Which permission each operation needs, on which ARN.

https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pileus.services.call import Access, Call, Parts
from pileus.services.iam import rows

Record = dict[str, Any]
# member of the request → (kind of record, noun of the ARN); the first one present is the resource
NAMED = (
    ("InstanceProfileName", "profile", "instance-profile"),
    ("GroupName", "group", "group"),
    ("RoleName", "role", "role"),
    ("UserName", "user", "user"),
)
LISTS = {
    "ListUsers": "user", "ListGroups": "group", "ListRoles": "role",
    "ListInstanceProfiles": "instance-profile", "ListPolicies": "policy",
}  # fmt: skip
OWN = {"GetUser", "CreateAccessKey", "ListAccessKeys", "UpdateAccessKey", "DeleteAccessKey"}


def access(parts: Parts, call: Call) -> Sequence[Access]:
    """The operation on the entity it names, by its full ARN; PassRole where a role is handed on."""
    p = call.params
    resource, record = _resource(parts, call)
    context: Record = {}
    for member, key in (
        ("PolicyArn", "iam:PolicyARN"),
        ("PermissionsBoundary", "iam:PermissionsBoundary"),
        ("AWSServiceName", "iam:AWSServiceName"),
    ):
        if p.get(member):
            context[key] = p[member]
    if p.get("Tags"):
        context |= {f"aws:RequestTag/{t['Key']}": t.get("Value", "") for t in p["Tags"]}
        context["aws:TagKeys"] = [t["Key"] for t in p["Tags"]]
    elif p.get("TagKeys"):
        context["aws:TagKeys"] = p["TagKeys"]
    for key, value in (record or {}).get("tags", {}).items():
        context |= {f"aws:ResourceTag/{key}": value, f"iam:ResourceTag/{key}": value}
    if (record or {}).get("boundary"):
        context.setdefault("iam:PermissionsBoundary", (record or {})["boundary"])
    needed = [Access(f"iam:{call.operation}", resource, context=context)]
    if call.operation == "AddRoleToInstanceProfile":
        role, _ = _entity(parts, call, "role", "role", p["RoleName"])
        passed = {"iam:PassedToService": "ec2.amazonaws.com"}
        needed.append(Access("iam:PassRole", role, context=passed))
    return needed


def _resource(parts: Parts, call: Call) -> tuple[str, Record | None]:
    p, operation = call.params, call.operation
    for member, kind, noun in NAMED:
        if p.get(member):
            return _entity(parts, call, kind, noun, p[member])
    if operation in OWN and call.principal.kind == "user":
        return _entity(parts, call, "user", "user", call.principal.name)
    if operation == "CreatePolicy":
        return _entity(parts, call, "policy", "policy", p["PolicyName"])
    if operation in LISTS:
        prefix = p.get("PathPrefix") or "/"
        return f"arn:aws:iam::{call.account}:{LISTS[operation]}{prefix}", None
    if operation == "CreateServiceLinkedRole":
        path = f"aws-service-role/{p['AWSServiceName']}/*"
        return f"arn:aws:iam::{call.account}:role/{path}", None
    if p.get("PolicyArn"):
        arn = p["PolicyArn"]
        found = parts.store.get_json(
            rows.record_key(call.account, "policy", arn.rpartition("/")[2])
        )
        return arn, found if found is not None and found["arn"] == arn else None
    return p.get("PolicySourceArn") or "*", None


def _entity(parts: Parts, call: Call, kind: str, noun: str, name: str) -> tuple[str, Record | None]:
    """The ARN of an entity, there or not, and its record."""
    found = parts.store.get_json(rows.record_key(call.account, kind, name))
    path = found["path"] if found is not None else call.params.get("Path") or "/"
    shown = found["name"] if found is not None else name
    return f"arn:aws:iam::{call.account}:{noun}{path}{shown}", found
