"""The decision: AWS's evaluation order over compiled statements.

An explicit deny anywhere wins. Within one account an allow by the resource's policy or by the
identity is enough; from another account both are needed. A permissions boundary and session
policies only take away.
https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pileus.policy.document import Statement
from pileus.policy.principals import Caller, Named, named

__all__ = ["Caller", "Decision", "Policies", "decide"]
Statements = Sequence[Statement]
# What only the resource's own policy can grant: a role is assumed by its trust policy's leave, a
# KMS key used by its key policy's, which may leave it to the account's identities.
TRUST_ACTIONS = frozenset({"sts:assumerole", "sts:tagsession", "sts:setsourceidentity"})


class Context(Protocol):
    """Condition keys in lower case and their values."""

    def get(self, key: str, default: Any = None, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Policies:
    """What applies to a caller. None means: there is no such policy (not: an empty one)."""

    identity: Statements = ()
    boundary: Statements | None = None
    session: Statements | None = None


@dataclass(slots=True)
class Decision:
    """``allowed``, the reason in AWS's words, and whether the context had a say in it.
    ``statements`` are those the decision rests on."""

    allowed: bool
    reason: str
    contextual: bool = False
    statements: list[Statement] = field(default_factory=list)
    denied: bool = False


def decide(
    caller: Caller,
    policies: Policies,
    action: str,
    resource: str,
    context: Context | Mapping[str, Any],
    resource_policy: Statements | None = None,
    owner: str = "",
) -> Decision:
    """Whether ``caller`` may do ``action`` (any case) on ``resource``; ``owner`` is the resource's
    account ('' = the caller's)."""
    look = _Look(action, resource, context)
    grant, by_resource = look.at_resource(resource_policy or (), caller)
    identity = look.matching(policies.identity, "an identity-based policy")
    boundary = look.limit(policies.boundary, "a permissions boundary")
    session = look.limit(policies.session, "a session policy")
    if look.denial is not None:
        where, statement = look.denial
        reason = f"with an explicit deny in {where}"
        return Decision(False, reason, look.contextual, [statement], denied=True)
    bound = look.action in TRUST_ACTIONS or (
        resource_policy is not None and look.action.startswith("kms:")
    )
    lacking = _lacking(
        caller, bound, grant, bool(identity), boundary, session, owner or caller.account
    )
    if not lacking:
        return Decision(True, "", look.contextual, by_resource + identity)
    return Decision(False, f"because no {lacking} allows the {action} action", look.contextual)


def _lacking(
    caller: Caller,
    bound: bool,
    grant: Named,
    identity: bool,
    boundary: bool,
    session: bool,
    owner: str,
) -> str:
    """The kind of policy whose word is missing, or ''. Nothing denies. ``bound``: nothing goes
    without the resource's own policy, not even for its account."""
    same_account = owner == caller.account
    if caller.kind in ("anonymous", "service", "oai"):
        return "" if grant else "resource-based policy"
    if not grant and (not same_account or bound):
        return "resource-based policy"
    if caller.kind == "root":
        return "" if session else "session policy"
    if same_account and grant is Named.DIRECTLY:
        return ""
    if not identity and not (same_account and grant is Named.ROLE):
        return "identity-based policy"
    if not boundary:
        return "permissions boundary"
    return "" if session else "session policy"


class _Look:
    """Collects matching statements, the first deny, and whether any answer hung on the context."""

    def __init__(self, action: str, resource: str, context: Any) -> None:
        self.action, self.resource, self.context = action.lower(), resource, context
        self.contextual = False
        self.denial: tuple[str, Statement] | None = None

    def _holds(self, statement: Statement) -> bool:
        self.contextual = self.contextual or statement.uses_context
        return statement.covers_resource(self.resource, self.context) and statement.holds(
            self.context
        )

    def _denied(self, where: str, statement: Statement) -> None:
        self.denial = self.denial or (where, statement)

    def at_resource(self, statements: Statements, caller: Caller) -> tuple[Named, list[Statement]]:
        """How the resource's policy names the caller at most, and by which statements."""
        grant, found = Named.NOT, []
        for s in statements:
            if not s.covers_action(self.action) or s.principals is None:
                continue
            how = named(s.principals, s.not_principals, caller)
            if not how or not self._holds(s):
                continue
            if not s.allow:
                self._denied("a resource-based policy", s)
                continue
            grant = max(grant, how)
            found.append(s)
        return grant, found

    def matching(self, statements: Statements, where: str) -> list[Statement]:
        """The allowing statements that apply."""
        out = []
        for s in statements:
            if not s.covers_action(self.action) or not self._holds(s):
                continue
            if s.allow:
                out.append(s)
            else:
                self._denied(where, s)
        return out

    def limit(self, statements: Statements | None, where: str) -> bool:
        """Whether a limiting policy lets this through; no policy does."""
        return statements is None or bool(self.matching(statements, where))
