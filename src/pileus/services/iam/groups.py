"""Groups and membership.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateGroup.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import rows, users

Record = dict[str, Any]


def shape(group: Record) -> Record:
    return {
        "Path": group["path"],
        "GroupName": group["name"],
        "GroupId": group["id"],
        "Arn": group["arn"],
        "CreateDate": rows.moment(group["created"]),
    }


async def create_group(parts: Parts, call: Call) -> Record:
    name = rows.check_name(call.params["GroupName"], "groupName", 128)
    group = {
        **rows.fresh(parts, call, "group", name, "AGPA"),
        "inline": {},
        "attached": [],
    }

    return {"Group": shape(await rows.create(parts, call, "Group", group))}


def _members(reader: Any, account: str, name: str) -> list[Record]:
    everyone = rows.listing(reader, account, "user")
    return [u for u in everyone if name.lower() in (g.lower() for g in u["groups"])]


def get_group(parts: Parts, call: Call) -> Record:
    group = rows.find(parts.store, call.account, "group", call.params["GroupName"])
    found = _members(parts.store, call.account, group["name"])
    members = [users.shape(u, full=False) for u in found]
    return {"Group": shape(group), **rows.page(call.params, members, "Users")}


def list_groups(parts: Parts, call: Call) -> Record:
    groups = [shape(group) for group in rows.by_path(parts, call, "group")]
    return rows.page(call.params, groups, "Groups")


def list_groups_for_user(parts: Parts, call: Call) -> Record:
    user = rows.find(parts.store, call.account, "user", call.params["UserName"])
    found = [rows.find(parts.store, call.account, "group", g) for g in user["groups"]]
    return rows.page(call.params, [shape(g) for g in found], "Groups")


async def update_group(parts: Parts, call: Call) -> Record:
    """A new name or path; the members' records follow."""
    p = call.params

    def change(draft: Any) -> None:
        group = rows.find(draft, call.account, "group", p["GroupName"])
        old = group["name"]
        name = rows.check_name(str(p.get("NewGroupName") or old), "newGroupName", 128)
        path = rows.check_path(str(p.get("NewPath") or group["path"]))
        taken = draft.get(rows.record_key(call.account, "group", name)) is not None
        if taken and name.lower() != old.lower():
            raise rows.exists("Group", name)
        for user in _members(draft, call.account, old):
            groups = sorted(name if g == old else g for g in user["groups"])
            rows.put(draft, call.account, "user", user | {"groups": groups})
        draft.delete(rows.record_key(call.account, "group", old))
        arn = f"arn:aws:iam::{call.account}:group{path}{name}"
        rows.put(draft, call.account, "group", group | {"name": name, "path": path, "arn": arn})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def delete_group(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        group = rows.find(draft, call.account, "group", call.params["GroupName"])
        if group["inline"] or group["attached"]:
            raise AwsError(
                "DeleteConflict", "Cannot delete entity, must detach all policies first.", 409
            )
        if _members(draft, call.account, group["name"]):
            raise AwsError(
                "DeleteConflict", "Cannot delete entity, must remove users from group first.", 409
            )
        draft.delete(rows.record_key(call.account, "group", group["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


async def _membership(parts: Parts, call: Call, member: bool) -> Record:
    def change(draft: Any) -> None:
        group = rows.find(draft, call.account, "group", call.params["GroupName"])
        user = rows.find(draft, call.account, "user", call.params["UserName"])
        others = [g for g in user["groups"] if g != group["name"]]
        if not member and len(others) == len(user["groups"]):
            raise rows.missing("user", f"{user['name']} in group {group['name']}")
        groups = sorted([*others, group["name"]]) if member else others
        rows.put(draft, call.account, "user", user | {"groups": groups})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def add_user_to_group(parts: Parts, call: Call) -> Record:
    return await _membership(parts, call, True)


async def remove_user_from_group(parts: Parts, call: Call) -> Record:
    return await _membership(parts, call, False)


OPERATIONS = {
    "CreateGroup": create_group,
    "GetGroup": get_group,
    "ListGroups": list_groups,
    "ListGroupsForUser": list_groups_for_user,
    "UpdateGroup": update_group,
    "DeleteGroup": delete_group,
    "AddUserToGroup": add_user_to_group,
    "RemoveUserFromGroup": remove_user_from_group,
}
