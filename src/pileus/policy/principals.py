"""How a policy of a resource names a caller, and how far its word then goes.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum


class Named(IntEnum):
    """Naming the account only lets it decide; naming the role leaves the limits of its sessions;
    naming the caller itself (or everybody) needs nothing else in the same account."""

    NOT = 0
    ACCOUNT = 1
    ROLE = 2
    DIRECTLY = 3


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as policies see them. ``arns``: the caller's own ARN, then that of the role (or
    user) whose session it is."""

    kind: str  # root, user, role, service, anonymous, oai
    account: str
    arns: tuple[str, ...] = ()
    service: str = ""
    canonical: tuple[str, ...] = ()


def canonical_id(account: str) -> str:
    """An account's canonical user id, as S3 knows it: 64 hexadecimal digits."""
    return hashlib.sha256(f"pileus-canonical-{account}".encode()).hexdigest()


def root_arn(account: str) -> str:
    """How policies name the account itself."""
    return f"arn:aws:iam::{account}:root"


def named(principals: Mapping[str, tuple[str, ...]], negated: bool, caller: Caller) -> Named:
    """What a Principal element (``negated``: a NotPrincipal one) says of the caller."""
    found = _named(principals, caller)
    if negated:
        return Named.NOT if found else Named.DIRECTLY
    return found


def _named(principals: Mapping[str, tuple[str, ...]], caller: Caller) -> Named:
    aws = principals.get("AWS", ())
    if "*" in principals or "*" in aws:
        return Named.DIRECTLY
    if caller.kind == "service":
        return _direct(caller.service in principals.get("Service", ()))
    if caller.kind == "anonymous":
        return Named.NOT
    canonical = any(c in principals.get("CanonicalUser", ()) for c in caller.canonical)
    if canonical and caller.kind == "oai":
        return Named.DIRECTLY
    if caller.arns and caller.arns[0] in aws:
        return Named.DIRECTLY
    if any(arn in aws for arn in caller.arns[1:]):
        return Named.ROLE
    if caller.account and (caller.account in aws or root_arn(caller.account) in aws):
        return Named.ACCOUNT
    # An account's canonical id is one more name of the account.
    return Named.ACCOUNT if canonical else Named.NOT


def _direct(whether: bool) -> Named:
    return Named.DIRECTLY if whether else Named.NOT
