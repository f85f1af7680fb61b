"""Whether a call may go on: permissions asked for, policies that apply, AWS's decision, AWS's
words.

https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pileus.errors import AwsError
from pileus.policy.decide import Decision, decide
from pileus.policy.document import Malformed, compile_document
from pileus.policy.uniform import uniform
from pileus.services.call import Access, Call, Principal
from pileus.wire.conditions import RequestContext

CACHED_MAX = 50_000
POLICIES_MAX = 1_000
# Services whose protocol says AccessDenied; the JSON ones say AccessDeniedException.
PLAIN = {"s3", "s3control", "iam", "sts", "cloudformation", "cloudfront", "sqs"}
OWN_CODE = {"sns": "AuthorizationError"}
# DynamoDB answers every refusal of a caller with 400 (Developer Guide, "Error handling"), and so
# does KMS (API reference, "Common errors").
REFUSED_BY_400 = {"dynamodb", "dynamodbstreams", "kms"}
# A policy cannot lock the account's owner out of the policy itself (S3, "Bucket policies"; API
# reference of DynamoDB, PutResourcePolicy).
OWNERS_OWN = {
    *("s3:GetBucketPolicy", "s3:PutBucketPolicy", "s3:DeleteBucketPolicy"),
    *("dynamodb:GetResourcePolicy", "dynamodb:PutResourcePolicy", "dynamodb:DeleteResourcePolicy"),
}


class Authorizer:
    """``identities`` tells which policies apply to a principal, and its generation.

    What was allowed without a look at the request's context is remembered until any identity
    changes: by key id (a key stands for one principal as long as nothing changes), action,
    resource and the identity of the resource's policy, which is held meanwhile."""

    def __init__(self, identities: Any) -> None:
        self._identities = identities
        self.changes: Callable[[], int] = identities.changes  # grows with every change of any
        self._generation = -1
        self._allowed: set[tuple[Any, str, str, int, str]] = set()
        self._compiled: dict[int, tuple[Any, Any]] = {}

    def check(self, call: Call, accesses: Sequence[Access]) -> None:
        """Returns when every access is allowed; raises AccessDenied in AWS's words otherwise."""
        principal = call.principal
        generation = self._identities.generation
        if generation != self._generation:
            self._forget()
            self._generation = generation
        who = principal.access_key_id or principal
        for access in accesses:
            policy = access.resource_policy
            key = (
                who,
                access.action,
                access.resource,
                0 if policy is None else id(policy),
                access.owner,
            )
            if key in self._allowed:
                continue
            verdict = self._decide(call, access)
            if not verdict.allowed:
                raise self._refusal(call, access, verdict)
            if not verdict.contextual:
                if len(self._allowed) >= CACHED_MAX:
                    self._forget()
                if policy is None or id(policy) in self._compiled:
                    self._allowed.add(key)

    def remembers(self, principal: Principal, action: str, resource: str) -> bool:
        """Was this allowed before, without a resource policy, and has no identity changed since?"""
        return (
            principal.access_key_id or principal,
            action,
            resource,
            0,
            "",
        ) in self._allowed and self._identities.generation == self._generation

    def allows_all(self, principal: Principal, access: Access) -> bool:
        """Whether ``principal`` may do this to every resource that starts with ``access.resource``,
        whatever the request. False where that is not plain to see."""
        policies = self._identities.policies(principal)
        of_resource = access.resource_policy
        statements = [
            *policies.identity,
            *(policies.boundary or ()),
            *(policies.session or ()),
            *(() if of_resource is None else self._statements(of_resource)),
        ]
        if not uniform(statements, access.action.lower(), access.resource):
            return False
        verdict = self._decide(Call("", "", principal, "", {}), access)
        return verdict.allowed and not verdict.contextual

    def allows(self, call: Call, access: Access) -> bool:
        """The same question, answered instead of raised."""
        return self._decide(call, access).allowed

    def _forget(self) -> None:
        self._allowed.clear()
        self._compiled.clear()

    def _decide(self, call: Call, access: Access) -> Decision:
        principal = call.principal
        statements = None
        if access.resource_policy is not None:
            owner = principal.kind == "root" and access.owner in ("", principal.account)
            if not (owner and access.action in OWNERS_OWN):
                statements = self._statements(access.resource_policy)
        caller = self._identities.caller(principal)
        return decide(
            caller,
            self._identities.policies(principal),
            access.action,
            access.resource,
            RequestContext(call, access, caller),
            statements,
            access.owner,
        )

    def _statements(self, policy: dict[str, Any]) -> Any:
        """The compiled policy; kept with the policy itself, so that its id stays its own."""
        kept = self._compiled.get(id(policy))
        if kept is None:
            if len(self._compiled) >= POLICIES_MAX:
                self._forget()
            try:
                statements = compile_document(policy)
            except Malformed:  # an empty policy, or one older than a rule: it grants nothing
                statements = ()
            kept = self._compiled[id(policy)] = (policy, statements)
        return kept[1]

    @staticmethod
    def _refusal(call: Call, access: Access, verdict: Decision) -> AwsError:
        code = "AccessDenied" if call.service in PLAIN else "AccessDeniedException"
        code = OWN_CODE.get(call.service, code)
        status = 400 if call.service in REFUSED_BY_400 else 403
        if call.principal.kind == "anonymous":
            return AwsError(code, "Access Denied", status)
        where = "" if access.resource == "*" else f" on resource: {access.resource}"
        # STS gives no reason: the trust policy is another party's.
        why = "" if access.action.startswith("sts:") else f" {verdict.reason}"
        return AwsError(
            code,
            f"User: {call.principal.arn} is not authorized to perform: {access.action}{where}{why}",
            status,
        )
