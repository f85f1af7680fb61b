"""Policies of users, groups and roles: inline ones, attached ones, permissions boundaries, tags.

The three nouns share one set of operations: ``PutUserPolicy``, ``AttachRolePolicy``,
``ListGroupPolicies`` …
https://docs.aws.amazon.com/IAM/latest/UserGuide/access_policies_managed-vs-inline.html
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote

from pileus.errors import AwsError
from pileus.services.call import Call, Parts
from pileus.services.iam import managed, rows

Record = dict[str, Any]
INLINE_CHARACTERS_MAX = {"User": 2048, "Role": 10_240, "Group": 5120}
ATTACHED_MAX = 10
Operation = Callable[[Parts, Call], "Record | Awaitable[Record]"]


async def _alter(
    noun: str, parts: Parts, call: Call, change: Callable[[Any, Record], None]
) -> Record:
    def run(draft: Any) -> None:
        record = rows.find(draft, call.account, noun, call.params[f"{noun}Name"])
        if noun == "Role":
            rows.check_changeable(record)
        change(draft, record)
        rows.put(draft, call.account, noun, record)

    await parts.store.transact(run, call.invocation_id)
    return {}


def _holder(noun: str, parts: Parts, call: Call) -> Record:
    return rows.find(parts.store, call.account, noun, call.params[f"{noun}Name"])


async def put_policy(noun: str, parts: Parts, call: Call) -> Record:
    name = rows.check_name(call.params["PolicyName"], "policyName", 128)
    text = rows.check_policy(call.params["PolicyDocument"])

    def change(draft: Any, record: Record) -> None:
        inline = record["inline"] | {name: text}
        size = sum(len("".join(t.split())) for t in inline.values())
        if size > INLINE_CHARACTERS_MAX[noun]:
            raise AwsError(
                "LimitExceeded",
                f"Maximum policy size of {INLINE_CHARACTERS_MAX[noun]} bytes exceeded for "
                f"{noun.lower()} {record['name']}",
                409,
            )
        record["inline"] = inline

    return await _alter(noun, parts, call, change)


def _inline(record: Record, noun: str, name: str) -> str:
    if name not in record["inline"]:
        raise AwsError(
            "NoSuchEntity", f"The {noun.lower()} policy with name {name} cannot be found.", 404
        )
    return str(record["inline"][name])


def get_policy(noun: str, parts: Parts, call: Call) -> Record:
    record = _holder(noun, parts, call)
    name = call.params["PolicyName"]
    text = quote(_inline(record, noun, name), safe="")
    return {f"{noun}Name": record["name"], "PolicyName": name, "PolicyDocument": text}


async def delete_policy(noun: str, parts: Parts, call: Call) -> Record:
    def change(draft: Any, record: Record) -> None:
        _inline(record, noun, call.params["PolicyName"])
        record["inline"].pop(call.params["PolicyName"])

    return await _alter(noun, parts, call, change)


def list_policies(noun: str, parts: Parts, call: Call) -> Record:
    return rows.page(call.params, sorted(_holder(noun, parts, call)["inline"]), "PolicyNames")


def must_exist(reader: Any, account: str, arn: str) -> None:
    """NoSuchEntity unless ``arn`` names one of AWS's policies or one of the account's."""
    if managed.text(arn) is not None:
        return
    parts = arn.split(":", 5)
    if len(parts) == 6 and parts[4] == account and parts[5].startswith("policy/"):
        found = reader.get_json(rows.record_key(account, "policy", arn.rpartition("/")[2]))
        if found is not None and found["arn"] == arn:
            return
    if not arn.startswith("arn:"):
        raise AwsError("ValidationError", "Invalid ARN:  Could not be parsed!")
    raise AwsError("NoSuchEntity", f"Policy {arn} does not exist or is not attachable.", 404)


def bounded(account: str, record: Record) -> rows.Check:
    """The check of a new user or role: its permissions boundary must exist."""

    def check(reader: Any) -> None:
        if record["boundary"]:
            must_exist(reader, account, record["boundary"])

    return check


async def attach_policy(noun: str, parts: Parts, call: Call) -> Record:
    arn = call.params["PolicyArn"]

    def change(draft: Any, record: Record) -> None:
        must_exist(draft, call.account, arn)
        if arn not in record["attached"]:
            if len(record["attached"]) >= ATTACHED_MAX:
                raise AwsError(
                    "LimitExceeded",
                    f"Cannot exceed quota for PoliciesPer{noun}: {ATTACHED_MAX}",
                    409,
                )
            record["attached"].append(arn)

    return await _alter(noun, parts, call, change)


async def detach_policy(noun: str, parts: Parts, call: Call) -> Record:
    arn = call.params["PolicyArn"]

    def change(draft: Any, record: Record) -> None:
        if arn not in record["attached"]:
            raise AwsError("NoSuchEntity", f"Policy {arn} was not found.", 404)
        record["attached"].remove(arn)

    return await _alter(noun, parts, call, change)


def list_attached(noun: str, parts: Parts, call: Call) -> Record:
    prefix = call.params.get("PathPrefix", "/")
    found = [
        {"PolicyName": arn.rpartition("/")[2], "PolicyArn": arn}
        for arn in _holder(noun, parts, call)["attached"]
        if ("/" + arn.split("/", 1)[1]).startswith(prefix)
    ]
    return rows.page(call.params, found, "AttachedPolicies")


async def put_boundary(noun: str, parts: Parts, call: Call) -> Record:
    def change(draft: Any, record: Record) -> None:
        must_exist(draft, call.account, call.params["PermissionsBoundary"])
        record["boundary"] = call.params["PermissionsBoundary"]

    return await _alter(noun, parts, call, change)


async def delete_boundary(noun: str, parts: Parts, call: Call) -> Record:
    return await _alter(noun, parts, call, lambda draft, record: record.update(boundary=""))


async def tag(noun: str, parts: Parts, call: Call) -> Record:
    def change(draft: Any, record: Record) -> None:
        tags = {t["Key"]: t["Value"] for t in rows.tags_of(record)} | {
            t["Key"]: t.get("Value", "") for t in call.params["Tags"]
        }
        record["tags"] = rows.check_tags([{"Key": k, "Value": v} for k, v in tags.items()])

    return await _alter(noun, parts, call, change)


async def untag(noun: str, parts: Parts, call: Call) -> Record:
    def change(draft: Any, record: Record) -> None:
        for key in call.params["TagKeys"]:
            record.get("tags", {}).pop(key, None)

    return await _alter(noun, parts, call, change)


def list_tags(noun: str, parts: Parts, call: Call) -> Record:
    return rows.page(call.params, rows.tags_of(_holder(noun, parts, call)), "Tags")


def _operations() -> dict[str, Operation]:
    out: dict[str, Any] = {}
    for noun in ("User", "Group", "Role"):
        named = {
            f"Put{noun}Policy": put_policy,
            f"Get{noun}Policy": get_policy,
            f"Delete{noun}Policy": delete_policy,
            f"List{noun}Policies": list_policies,
            f"Attach{noun}Policy": attach_policy,
            f"Detach{noun}Policy": detach_policy,
            f"ListAttached{noun}Policies": list_attached,
        }
        if noun != "Group":
            named |= {
                f"Put{noun}PermissionsBoundary": put_boundary,
                f"Delete{noun}PermissionsBoundary": delete_boundary,
                f"Tag{noun}": tag,
                f"Untag{noun}": untag,
                f"List{noun}Tags": list_tags,
            }
        out |= {name: functools.partial(f, noun) for name, f in named.items()}
    return out


OPERATIONS = _operations()
