"""Roles and their trust.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateRole.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import rows, users
from pileus.services.iam.held_policies import bounded

Record = dict[str, Any]
SESSION_SECONDS = (3600, 43200)


def shape(role: Record, *, full: bool = True) -> Record:
    out = {
        "Path": role["path"],
        "RoleName": role["name"],
        "RoleId": role["id"],
        "Arn": role["arn"],
        "CreateDate": rows.moment(role["created"]),
        "AssumeRolePolicyDocument": quote(role["trust"], safe=""),
        "MaxSessionDuration": role["session_s"],
    }
    if role["description"]:
        out["Description"] = role["description"]
    if full:
        if role["tags"]:
            out["Tags"] = rows.tags_of(role)
        out["RoleLastUsed"] = {}
        if role.get("boundary"):
            out["PermissionsBoundary"] = users.boundary(role)
    return out


def _session(seconds: int) -> int:
    if not SESSION_SECONDS[0] <= seconds <= SESSION_SECONDS[1]:
        raise AwsError(
            "ValidationError", "MaxSessionDuration must be between 3600 and 43200 seconds"
        )
    return seconds


async def create_role(parts: Parts, call: Call) -> Record:
    p = call.params
    name = rows.check_name(p["RoleName"], "roleName")
    role = {
        **rows.fresh(parts, call, "role", name, "AROA"),
        "trust": rows.check_policy(p["AssumeRolePolicyDocument"], trust=True),
        "description": p.get("Description", ""),
        "session_s": _session(p.get("MaxSessionDuration", SESSION_SECONDS[0])),
        "tags": rows.check_tags(p.get("Tags", [])),
        "inline": {},
        "attached": [],
        "boundary": p.get("PermissionsBoundary", ""),
    }

    made = shape(await rows.create(parts, call, "Role", role, bounded(call.account, role)))
    del made["RoleLastUsed"]  # CreateRole tells what is the role's own only
    if "MaxSessionDuration" not in p:
        del made["MaxSessionDuration"]
    return {"Role": made}


def get_role(parts: Parts, call: Call) -> Record:
    return {"Role": shape(rows.find(parts.store, call.account, "role", call.params["RoleName"]))}


def list_roles(parts: Parts, call: Call) -> Record:
    roles = [shape(role, full=False) for role in rows.by_path(parts, call, "role")]
    return rows.page(call.params, roles, "Roles")


async def _alter(parts: Parts, call: Call, **fields: Any) -> Record:
    answer: Record = {}

    def change(draft: Any) -> None:
        role = rows.find(draft, call.account, "role", call.params["RoleName"])
        rows.check_changeable(role)
        role |= fields
        rows.put(draft, call.account, "role", role)
        answer.update(role)

    await parts.store.transact(change, call.invocation_id)
    return answer


async def update_role(parts: Parts, call: Call) -> Record:
    p, fields = call.params, {}
    if "Description" in p:
        fields["description"] = p["Description"]
    if "MaxSessionDuration" in p:
        fields["session_s"] = _session(p["MaxSessionDuration"])
    await _alter(parts, call, **fields)
    return {}


async def update_role_description(parts: Parts, call: Call) -> Record:
    return {"Role": shape(await _alter(parts, call, description=call.params["Description"]))}


async def update_assume_role_policy(parts: Parts, call: Call) -> Record:
    await _alter(parts, call, trust=rows.check_policy(call.params["PolicyDocument"], trust=True))
    return {}


async def delete_role(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        role = rows.find(draft, call.account, "role", call.params["RoleName"])
        rows.check_changeable(role)
        profiles = rows.listing(draft, call.account, "profile")
        if role["inline"]:
            raise AwsError(
                "DeleteConflict", "Cannot delete entity, must delete policies first.", 409
            )
        if role["attached"]:
            raise AwsError(
                "DeleteConflict", "Cannot delete entity, must detach all policies first.", 409
            )
        if any(role["name"] in p["roles"] for p in profiles):
            raise AwsError(
                "DeleteConflict",
                "Cannot delete entity, must remove roles from instance profile first.",
                409,
            )
        draft.delete(rows.record_key(call.account, "role", role["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


OPERATIONS = {
    "CreateRole": create_role,
    "GetRole": get_role,
    "ListRoles": list_roles,
    "UpdateRole": update_role,
    "UpdateRoleDescription": update_role_description,
    "UpdateAssumeRolePolicy": update_assume_role_policy,
    "DeleteRole": delete_role,
}
