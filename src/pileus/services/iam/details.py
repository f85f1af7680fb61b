"""GetAccountAuthorizationDetails: everything that decides who may do what, in one listing.

https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from pileus.services.call import Call, Parts
from pileus.services.iam import groups, instance_profiles, policies, roles, rows, users

Record = dict[str, Any]
LISTS = ("UserDetailList", "GroupDetailList", "RoleDetailList", "Policies")


def _held(record: Record, inline: str) -> Record:
    return {
        inline: [
            {"PolicyName": n, "PolicyDocument": quote(t, safe="")}
            for n, t in sorted(record["inline"].items())
        ],
        "AttachedManagedPolicies": [
            {"PolicyName": a.rpartition("/")[2], "PolicyArn": a} for a in record["attached"]
        ],
    }


def _user(user: Record) -> Record:
    return users.shape(user) | _held(user, "UserPolicyList") | {"GroupList": user["groups"]}


def _role(parts: Parts, account: str, role: Record) -> Record:
    profiles = [
        instance_profiles.shape(parts.store, account, p)
        for p in rows.listing(parts.store, account, "profile")
        if role["name"] in p["roles"]
    ]
    shown = roles.shape(role) | _held(role, "RolePolicyList")
    for name in ("Description", "MaxSessionDuration"):
        shown.pop(name, None)
    return shown | {"InstanceProfileList": profiles}


def get_account_authorization_details(parts: Parts, call: Call) -> Record:
    """One page over users, groups, roles and policies in that order; ``Filter`` picks kinds."""
    wanted = set(call.params.get("Filter") or
                 ("User", "Group", "Role", "LocalManagedPolicy", "AWSManagedPolicy"))  # fmt: skip
    store, account = parts.store, call.account
    found: list[tuple[str, Record]] = []
    if "User" in wanted:
        found += [(LISTS[0], _user(u)) for u in rows.listing(store, account, "user")]
    if "Group" in wanted:
        found += [(LISTS[1], groups.shape(g) | _held(g, "GroupPolicyList"))
                  for g in rows.listing(store, account, "group")]  # fmt: skip
    if "Role" in wanted:
        found += [(LISTS[2], _role(parts, account, r))
                  for r in rows.listing(store, account, "role")]  # fmt: skip
    found += [(LISTS[3], p) for p in policies.in_detail(parts, call, wanted)]
    page = rows.page(call.params, found, "found")
    answer: Record = {name: [] for name in LISTS}
    for name, shown in page.pop("found"):
        answer[name].append(shown)
    return answer | page


OPERATIONS = {"GetAccountAuthorizationDetails": get_account_authorization_details}
