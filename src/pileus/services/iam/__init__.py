"""IAM: users, groups, roles, policies, keys; who calls and what applies to them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from pileus.services.call import Access, Call, Parts, Service
from pileus.services.iam import (
    access_keys,
    account,
    groups,
    held_policies,
    policies,
    roles,
    rows,
    users,
)

OPERATIONS: dict[str, Any] = {
    **users.OPERATIONS,
    **access_keys.OPERATIONS,
    **groups.OPERATIONS,
    **roles.OPERATIONS,
    **held_policies.OPERATIONS,
    **policies.OPERATIONS,
    **account.OPERATIONS,
}
NAMED = (("UserName", "user"), ("GroupName", "group"), ("RoleName", "role"))


def access(parts: Parts, call: Call) -> Sequence[Access]:
    """The operation on the entity it names, by its full ARN where it exists."""
    p = call.params
    resource = p.get("PolicyArn", "*") if "Name" not in "".join(p) else ""
    if not resource:
        resource = p.get("PolicyArn", "*")
        for member, kind in NAMED:
            if member in p:
                found = parts.store.get_json(rows.record_key(call.account, kind, p[member]))
                path = p.get("Path", "/") if found is None else found["path"]
                resource = f"arn:aws:iam::{call.account}:{kind}{path}{p[member]}"
                break
    context = {"iam:PolicyARN": p["PolicyArn"]} if "PolicyArn" in p else {}
    return [Access(f"iam:{call.operation}", resource, context=context)]


def build(parts: Parts) -> Service:
    return Service(
        name="iam",
        operations={n: functools.partial(f, parts) for n, f in OPERATIONS.items()},
        access=functools.partial(access, parts),
    )
