"""Customer managed policies and their versions; AWS's own are read-only.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreatePolicy.html
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import quote

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import managed, rows

Record = dict[str, Any]
VERSIONS_MAX = 5
CHARACTERS_MAX = 6144
HOLDERS = (("User", "PolicyUsers"), ("Group", "PolicyGroups"), ("Role", "PolicyRoles"))


def _limited(text: str) -> str:
    if len("".join(text.split())) > CHARACTERS_MAX:
        raise AwsError(
            "LimitExceeded", f"Cannot exceed quota for PolicySize: {CHARACTERS_MAX}", 409
        )
    return rows.check_policy(text)


def _aws(arn: str) -> Record | None:
    found = managed.documents().get(arn)
    if found is None:
        return None
    text = json.dumps(found["document"])
    return {
        "arn": arn,
        "name": found["name"],
        "path": found["path"],
        "id": rows.unique_id("ANPA", arn.encode()),
        "description": found["description"],
        "created": 0,
        "default": "v1",
        "versions": {"v1": {"text": text, "created": 0}},
        "tags": {},
    }


def _find(reader: Any, call: Call, arn: str) -> Record:
    found = _aws(arn) or reader.get_json(
        rows.record_key(call.account, "policy", arn.rpartition("/")[2])
    )
    if found is None or found["arn"] != arn:
        raise AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)
    return dict(found)


def _own(draft: Any, call: Call) -> Record:
    arn = call.params["PolicyArn"]
    if managed.text(arn) is not None:
        raise AwsError("AccessDenied", f"{arn} is an AWS managed policy and cannot be changed", 403)
    return _find(draft, call, arn)


def _attachments(reader: Any, account: str, arn: str) -> dict[str, list[Record]]:
    return {
        noun: [h for h in rows.listing(reader, account, noun.lower()) if arn in h["attached"]]
        for noun, _ in HOLDERS
    }


def _bounded(reader: Any, account: str, arn: str) -> int:
    """How many users and roles have the policy as their boundary."""
    return sum(
        h.get("boundary") == arn
        for kind in ("user", "role")
        for h in rows.listing(reader, account, kind)
    )


def in_detail(parts: Parts, call: Call, wanted: set[str]) -> list[Record]:
    """Managed policies with their versions: the account's, and those of AWS that are in use."""
    found: list[Record] = []
    if "LocalManagedPolicy" in wanted:
        found += rows.listing(parts.store, call.account, "policy")
    if "AWSManagedPolicy" in wanted:
        holders = [
            h for noun, _ in HOLDERS for h in rows.listing(parts.store, call.account, noun.lower())
        ]
        used = {a for h in holders for a in h["attached"]} & set(managed.documents())
        found += [r for arn in sorted(used) if (r := _aws(arn))]
    out = []
    for policy in found:
        shown = _shape(parts, call, policy)
        shown.pop("Tags")
        versions = [_version(policy, v, text=True) for v in policy["versions"]]
        out.append(shown | {"PolicyVersionList": versions})
    return out


async def _retag(parts: Parts, call: Call, edit: Any) -> Record:
    def change(draft: Any) -> None:
        policy = _own(draft, call)
        edit(policy)
        rows.put(draft, call.account, "policy", policy)

    await parts.store.transact(change, call.invocation_id)
    return {}


async def tag_policy(parts: Parts, call: Call) -> Record:
    def edit(policy: Record) -> None:
        policy["tags"] = rows.check_tags(
            rows.tags_of({"tags": policy["tags"] | {t["Key"]: t.get("Value", "")
                                                    for t in call.params["Tags"]}})
        )  # fmt: skip

    return await _retag(parts, call, edit)


async def untag_policy(parts: Parts, call: Call) -> Record:
    def edit(policy: Record) -> None:
        for key in call.params["TagKeys"]:
            policy["tags"].pop(key, None)

    return await _retag(parts, call, edit)


def list_policy_tags(parts: Parts, call: Call) -> Record:
    policy = _find(parts.store, call, call.params["PolicyArn"])
    return rows.page(call.params, rows.tags_of(policy), "Tags")


def _shape(parts: Parts, call: Call, policy: Record) -> Record:
    held = _attachments(parts.store, call.account, policy["arn"])
    told = {"Description": policy["description"]} if policy["description"] else {}
    return told | {
        "PolicyName": policy["name"],
        "PolicyId": policy["id"],
        "Arn": policy["arn"],
        "Path": policy["path"],
        "DefaultVersionId": policy["default"],
        "AttachmentCount": sum(map(len, held.values())),
        "PermissionsBoundaryUsageCount": _bounded(parts.store, call.account, policy["arn"]),
        "IsAttachable": True,
        "CreateDate": rows.moment(policy["created"]),
        "UpdateDate": rows.moment(max(v["created"] for v in policy["versions"].values())),
        "Tags": rows.tags_of(policy),
    }


async def create_policy(parts: Parts, call: Call) -> Record:
    p = call.params
    name = rows.check_name(p["PolicyName"], "policyName", 128)
    path = rows.check_path(p.get("Path", "/"))
    now = parts.clock.now_ms()
    policy = {
        "name": name,
        "path": path,
        "id": rows.unique_id("ANPA", parts.clock.random_bytes(24)),
        "arn": f"arn:aws:iam::{call.account}:policy{path}{name}",
        "description": p.get("Description", ""),
        "created": now,
        "default": "v1",
        "last": 1,
        "versions": {"v1": {"text": _limited(p["PolicyDocument"]), "created": now}},
        "tags": rows.check_tags(p.get("Tags", [])),
    }

    def change(draft: Any) -> Record:
        if draft.get(rows.record_key(call.account, "policy", name)) is not None:
            raise AwsError(
                "EntityAlreadyExists",
                f"A policy called {name} already exists. Duplicate names are not allowed.",
                409,
            )
        rows.put(draft, call.account, "policy", policy)
        return policy

    policy = await parts.store.transact(change, call.invocation_id)
    told = _shape(parts, call, policy)
    told.pop("Description", None)  # told by GetPolicy alone (API reference, Policy)
    if not told["Tags"]:
        del told["Tags"]
    return {"Policy": told}


def get_policy(parts: Parts, call: Call) -> Record:
    policy = _find(parts.store, call, call.params["PolicyArn"])
    return {"Policy": _shape(parts, call, policy)}


def list_policies(parts: Parts, call: Call) -> Record:
    p = call.params
    scope, prefix = p.get("Scope", "All"), p.get("PathPrefix", "/")
    found: list[Record] = []
    if scope in ("All", "Local"):
        found += rows.listing(parts.store, call.account, "policy")
    if scope in ("All", "AWS"):
        found += [r for arn in managed.documents() if (r := _aws(arn))]
    shapes = [_shape(parts, call, x) for x in found if x["path"].startswith(prefix)]
    if p.get("OnlyAttached"):
        shapes = [s for s in shapes if s["AttachmentCount"]]
    for s in shapes:
        s.pop("Tags"), s.pop("Description", None)
    return rows.page(p, sorted(shapes, key=lambda s: s["PolicyName"]), "Policies")


async def delete_policy(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        policy = _own(draft, call)
        used = any(_attachments(draft, call.account, policy["arn"]).values())
        if used or _bounded(draft, call.account, policy["arn"]):
            raise AwsError("DeleteConflict", "Cannot delete a policy attached to entities.", 409)
        if len(policy["versions"]) > 1:
            raise AwsError(
                "DeleteConflict",
                "This policy has more than one version. Before you delete a policy, you must delete"
                " the policy's versions. The default version is deleted with the policy.",
                409,
            )
        draft.delete(rows.record_key(call.account, "policy", policy["name"]))

    await parts.store.transact(change, call.invocation_id)
    return {}


def _version(policy: Record, version: str, *, text: bool = False) -> Record:
    if version not in policy["versions"]:
        raise AwsError(
            "NoSuchEntity", f"Policy {policy['arn']} version {version} does not exist.", 404
        )
    about = policy["versions"][version]
    out = {
        "VersionId": version,
        "IsDefaultVersion": version == policy["default"],
        "CreateDate": rows.moment(about["created"]),
    }
    return out | {"Document": quote(about["text"], safe="")} if text else out


def get_policy_version(parts: Parts, call: Call) -> Record:
    policy = _find(parts.store, call, call.params["PolicyArn"])
    return {"PolicyVersion": _version(policy, call.params["VersionId"], text=True)}


def list_policy_versions(parts: Parts, call: Call) -> Record:
    policy = _find(parts.store, call, call.params["PolicyArn"])
    newest = sorted(policy["versions"], key=lambda v: int(v[1:]), reverse=True)
    return rows.page(call.params, [_version(policy, v) for v in newest], "Versions")


async def create_policy_version(parts: Parts, call: Call) -> Record:
    text, now = _limited(call.params["PolicyDocument"]), parts.clock.now_ms()

    def change(draft: Any) -> Record:
        policy = _own(draft, call)
        if len(policy["versions"]) >= VERSIONS_MAX:
            raise AwsError(
                "LimitExceeded",
                f"A managed policy can have up to {VERSIONS_MAX} versions. Before you create a new "
                "version, you must delete an existing version.",
                409,
            )
        policy["last"] += 1
        version = f"v{policy['last']}"
        policy["versions"][version] = {"text": text, "created": now}
        if call.params.get("SetAsDefault"):
            policy["default"] = version
        rows.put(draft, call.account, "policy", policy)
        return _version(policy, version)

    return {"PolicyVersion": await parts.store.transact(change, call.invocation_id)}


async def delete_policy_version(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        policy = _own(draft, call)
        version = call.params["VersionId"]
        if _version(policy, version)["IsDefaultVersion"]:
            raise AwsError("DeleteConflict", "Cannot delete the default version of a policy.", 409)
        policy["versions"].pop(version)
        rows.put(draft, call.account, "policy", policy)

    await parts.store.transact(change, call.invocation_id)
    return {}


async def set_default_policy_version(parts: Parts, call: Call) -> Record:
    def change(draft: Any) -> None:
        policy = _own(draft, call)
        _version(policy, call.params["VersionId"])
        rows.put(draft, call.account, "policy", policy | {"default": call.params["VersionId"]})

    await parts.store.transact(change, call.invocation_id)
    return {}


def list_entities_for_policy(parts: Parts, call: Call) -> Record:
    arn = call.params["PolicyArn"]
    _find(parts.store, call, arn)
    held = _attachments(parts.store, call.account, arn)
    wanted = call.params.get("EntityFilter")
    return {
        member: [{f"{noun}Name": h["name"], f"{noun}Id": h["id"]} for h in held[noun]]
        for noun, member in HOLDERS
        if wanted in (None, noun)
    } | {"IsTruncated": False}


OPERATIONS = {
    "TagPolicy": tag_policy,
    "UntagPolicy": untag_policy,
    "ListPolicyTags": list_policy_tags,
    "CreatePolicy": create_policy,
    "GetPolicy": get_policy,
    "ListPolicies": list_policies,
    "DeletePolicy": delete_policy,
    "GetPolicyVersion": get_policy_version,
    "ListPolicyVersions": list_policy_versions,
    "CreatePolicyVersion": create_policy_version,
    "DeletePolicyVersion": delete_policy_version,
    "SetDefaultPolicyVersion": set_default_policy_version,
    "ListEntitiesForPolicy": list_entities_for_policy,
}
