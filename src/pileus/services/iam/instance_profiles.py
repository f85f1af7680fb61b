"""Instance profiles: a name under which a machine gets a role.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateInstanceProfile.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import roles, rows

Record = dict[str, Any]
KIND = "profile"


def _missing(name: str) -> AwsError:
    return AwsError("NoSuchEntity", f"Instance Profile {name} cannot be found.", 404)


def _find(reader: Any, call: Call) -> Record:
    name = call.params["InstanceProfileName"]
    found = reader.get_json(rows.record_key(call.account, KIND, name))
    if found is None:
        raise _missing(name)
    return dict(found)


def shape(reader: Any, account: str, profile: Record) -> Record:
    """The profile as answered, its role in full."""
    held = [reader.get_json(rows.record_key(account, "role", r)) for r in profile["roles"]]
    return {
        "Path": profile["path"],
        "InstanceProfileName": profile["name"],
        "InstanceProfileId": profile["id"],
        "Arn": profile["arn"],
        "CreateDate": rows.moment(profile["created"]),
        "Roles": [roles.shape(r, full=False) for r in held if r is not None],
        "Tags": rows.tags_of(profile),
    }


async def create_instance_profile(parts: Parts, call: Call) -> Record:
    p = call.params
    name = rows.check_name(p["InstanceProfileName"], "instanceProfileName", 128)
    profile = {
        **rows.fresh(parts, call, "instance-profile", name, "AIPA"),
        "roles": [],
        "tags": rows.check_tags(p.get("Tags", [])),
    }

    def change(draft: Any) -> Record:
        if draft.get(rows.record_key(call.account, KIND, name)) is not None:
            raise AwsError("EntityAlreadyExists", f"Instance Profile {name} already exists.", 409)
        rows.put(draft, call.account, KIND, profile)
        return profile

    profile = await parts.store.transact(change, call.invocation_id)
    return {"InstanceProfile": shape(parts.store, call.account, profile)}


def get_instance_profile(parts: Parts, call: Call) -> Record:
    return {"InstanceProfile": shape(parts.store, call.account, _find(parts.store, call))}


def list_instance_profiles(parts: Parts, call: Call) -> Record:
    found = rows.by_path(parts, call, KIND)
    shapes = [shape(parts.store, call.account, p) for p in found]
    return rows.page(call.params, shapes, "InstanceProfiles")


def list_instance_profiles_for_role(parts: Parts, call: Call) -> Record:
    role = rows.find(parts.store, call.account, "role", call.params["RoleName"])
    found = [p for p in rows.listing(parts.store, call.account, KIND) if role["name"] in p["roles"]]
    shapes = [shape(parts.store, call.account, p) for p in found]
    return rows.page(call.params, shapes, "InstanceProfiles")


async def delete_instance_profile(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        profile = _find(draft, call)
        if profile["roles"]:
            raise AwsError(
                "DeleteConflict",
                "Cannot delete entity, must remove roles from instance profile first.",
                409,
            )
        draft.delete(rows.record_key(call.account, KIND, profile["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


async def add_role(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        profile = _find(draft, call)
        role = rows.find(draft, call.account, "role", call.params["RoleName"])
        if profile["roles"]:
            raise AwsError(
                "LimitExceeded",
                "Cannot exceed quota for InstanceSessionsPerInstanceProfile: 1",
                409,
            )
        rows.put(draft, call.account, KIND, profile | {"roles": [role["name"]]})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def remove_role(parts: Parts, call: Call) -> Record:
    name = call.params["RoleName"]

    def change(draft: Any) -> None:
        profile = _find(draft, call)
        kept = [r for r in profile["roles"] if r.lower() != name.lower()]
        if len(kept) == len(profile["roles"]):
            raise rows.missing("role", name)
        rows.put(draft, call.account, KIND, profile | {"roles": kept})

    await parts.store.transact(change, call.invocation_id)
    return {}


OPERATIONS = {
    "CreateInstanceProfile": create_instance_profile,
    "GetInstanceProfile": get_instance_profile,
    "ListInstanceProfiles": list_instance_profiles,
    "ListInstanceProfilesForRole": list_instance_profiles_for_role,
    "DeleteInstanceProfile": delete_instance_profile,
    "AddRoleToInstanceProfile": add_role,
    "RemoveRoleFromInstanceProfile": remove_role,
}
