"""The decision: AWS's evaluation order over compiled statements.

Explicit deny anywhere wins. Within one account an allow by the resource's policy or by the identity
is enough; from
another account both are needed. A permissions boundary and session policies only take away.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pileus.policy.document import Statement, glob

Statements = Sequence[Statement]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, as policies see them. ``arns``: every ARN that names the caller (session and
    role)."""

    kind: str  # root, user, role, service, anonymous, oai
    account: str
    arns: tuple[str, ...] = ()
    service: str = ""
    canonical: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Policies:
    """What applies to a caller. None means: there is no such policy (not: an empty one)."""

    identity: Statements = ()
    boundary: Statements | None = None
    session: Statements | None = None


@dataclass(slots=True)
class Decision:
    """``allowed``, the reason in AWS's words, and whether the context had a say in it."""

    allowed: bool
    reason: str
    contextual: bool = False
    statements: list[Statement] = field(default_factory=list)


def decide(
    caller: Caller,
    policies: Policies,
    action: str,
    resource: str,
    context: Mapping[str, Any],
    resource_policy: Statements | None = None,
    owner: str = "",
) -> Decision:
    """Whether ``caller`` may do ``action`` (any case) on ``resource``; ``owner`` is the resource's
    account."""
    act = action.lower()
    look = _Look(act, resource, context)
    on_resource = look.matching(resource_policy or (), caller)
    identity = look.matching(policies.identity)
    boundary = None if policies.boundary is None else look.matching(policies.boundary)
    session = None if policies.session is None else look.matching(policies.session)
    places = (
        ("a resource-based policy", on_resource),
        ("an identity-based policy", identity),
        ("a permissions boundary", boundary or []),
        ("a session policy", session or []),
    )
    for place, found in places:
        for statement in found:
            if not statement.allow:
                return Decision(
                    False, f"with an explicit deny in {place}", look.contextual, [statement]
                )
    by_resource = [s for s in on_resource if s.allow]
    by_identity = [s for s in identity if s.allow]
    same_account = not owner or owner == caller.account
    if caller.kind == "root" and same_account:
        return Decision(True, "", look.contextual)
    if caller.kind in ("anonymous", "service", "oai"):
        why = f"because no resource-based policy allows the {action} action"
        return Decision(bool(by_resource), why, look.contextual, by_resource)
    if boundary is not None and not any(s.allow for s in boundary) and not by_resource:
        why = f"because no permissions boundary allows the {action} action"
        return Decision(False, why, look.contextual)
    if session is not None and not any(s.allow for s in session) and not by_resource:
        why = f"because no session policy allows the {action} action"
        return Decision(False, why, look.contextual)
    if same_account:
        allowed = bool(by_resource or by_identity)
    else:
        allowed = bool(by_resource) and (bool(by_identity) or caller.kind == "root")
    missing = "identity" if same_account or not by_identity else "resource"
    why = f"because no {missing}-based policy allows the {action} action"
    return Decision(allowed, "" if allowed else why, look.contextual, by_resource + by_identity)


class _Look:
    """Collects matching statements and whether any answer hung on the context."""

    def __init__(self, action: str, resource: str, context: Mapping[str, Any]) -> None:
        self.action, self.resource, self.context = action, resource, context
        self.contextual = False

    def matching(self, statements: Statements, caller: Caller | None = None) -> list[Statement]:
        out = []
        for s in statements:
            if not s.covers_action(self.action):
                continue
            if caller is not None and s.principals is not None and not names(s, caller):
                continue
            self.contextual = self.contextual or s.uses_context
            if s.covers_resource(self.resource, self.context) and s.holds(self.context):
                out.append(s)
        return out


def names(statement: Statement, caller: Caller) -> bool:
    """Whether the statement's Principal (or NotPrincipal) element covers the caller."""
    assert statement.principals is not None
    return _named(statement.principals, caller) != statement.not_principals


def _named(principals: Mapping[str, tuple[str, ...]], caller: Caller) -> bool:
    if "*" in principals:
        return True
    for value in principals.get("AWS", ()):
        if value == "*":
            return True
        if caller.kind in ("anonymous", "service"):
            continue
        root = f"arn:aws:iam::{caller.account}:root"
        if caller.account and value in (caller.account, root):
            return True
        if any(value == arn or ("*" in value and glob(value)(arn)) for arn in caller.arns):
            return True
    if caller.kind == "service" and caller.service in principals.get("Service", ()):
        return True
    return any(c in principals.get("CanonicalUser", ()) for c in caller.canonical)
