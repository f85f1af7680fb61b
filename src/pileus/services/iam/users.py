"""Users: CreateUser, GetUser, ListUsers, UpdateUser, DeleteUser.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateUser.html
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import rows
from pileus.services.iam.held_policies import bounded

Record = dict[str, Any]


def shape(user: Record, *, full: bool = True) -> Record:
    out = {
        "Path": user["path"],
        "UserName": user["name"],
        "UserId": user["id"],
        "Arn": user["arn"],
        "CreateDate": rows.moment(user["created"]),
    }
    if full:
        if user["tags"]:
            out["Tags"] = rows.tags_of(user)
        if user.get("boundary"):
            out["PermissionsBoundary"] = boundary(user)
    return out


def boundary(record: Record) -> Record:
    return {"PermissionsBoundaryType": "Policy", "PermissionsBoundaryArn": record["boundary"]}


async def create_user(parts: Parts, call: Call) -> Record:
    p = call.params
    name = rows.check_name(p["UserName"], "userName")
    user = {
        **rows.fresh(parts, call, "user", name, "AIDA"),
        "tags": rows.check_tags(p.get("Tags", [])),
        "groups": [],
        "inline": {},
        "attached": [],
        "boundary": p.get("PermissionsBoundary", ""),
    }

    made = await rows.create(parts, call, "User", user, bounded(call.account, user))
    return {"User": shape(made)}


def get_user(parts: Parts, call: Call) -> Record:
    name = call.params.get("UserName") or call.principal.name
    if not name and call.principal.kind == "root":
        owner = {"path": "/", "name": "root", "id": call.account, "arn": call.principal.arn}
        return {"User": shape(owner | {"created": 0}, full=False)}
    if not call.params.get("UserName") and call.principal.kind != "user":
        raise AwsError(
            "ValidationError", "Must specify userName when calling with non-User credentials"
        )
    return {"User": shape(rows.find(parts.store, call.account, "user", name))}


def list_users(parts: Parts, call: Call) -> Record:
    users = [shape(user, full=False) for user in rows.by_path(parts, call, "user")]
    return rows.page(call.params, users, "Users")


async def update_user(parts: Parts, call: Call) -> Record:
    p = call.params

    def change(draft: Any) -> None:
        user = rows.find(draft, call.account, "user", p["UserName"])
        draft.delete(rows.record_key(call.account, "user", user["name"]))
        name = rows.check_name(str(p.get("NewUserName", user["name"])), "newUserName")
        taken = draft.get(rows.record_key(call.account, "user", name)) is not None
        if taken and name.lower() != user["name"].lower():
            raise rows.exists("User", name)
        for key_id in user.get("keys", []):
            key = draft.get_json(rows.access_key_key(key_id))
            draft.put_json(rows.access_key_key(key_id), key | {"user": name})
        path = rows.check_path(str(p.get("NewPath", user["path"])))
        arn = f"arn:aws:iam::{call.account}:user{path}{name}"
        rows.put(draft, call.account, "user", user | {"name": name, "path": path, "arn": arn})

    await parts.store.transact(change, call.invocation_id)
    return {}


async def delete_user(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        user = rows.find(draft, call.account, "user", call.params["UserName"])
        held = (
            ("access keys", user.get("keys")),
            ("policies", user["inline"]),
            ("policies", user["attached"]),
            ("groups", user["groups"]),
        )
        for what, present in held:
            if present:
                verb = "remove from all" if what == "groups" else "delete"
                attached = what == "policies" and not user["inline"]
                verb = "detach all" if attached else verb
                raise AwsError(
                    "DeleteConflict", f"Cannot delete entity, must {verb} {what} first.", 409
                )
        draft.delete(rows.record_key(call.account, "user", user["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


OPERATIONS = {
    "CreateUser": create_user,
    "GetUser": get_user,
    "ListUsers": list_users,
    "UpdateUser": update_user,
    "DeleteUser": delete_user,
}
