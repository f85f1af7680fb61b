"""Whether a call may go on: permissions asked for, policies that apply, AWS's decision, AWS's
words."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from pileus.errors import AwsError
from pileus.policy.decide import Decision, decide
from pileus.policy.document import Malformed, compile_document
from pileus.services.call import Access, Call, Principal

CACHED_MAX = 50_000
# Services whose protocol says AccessDenied; the JSON ones say AccessDeniedException.
PLAIN = {"s3", "s3control", "iam", "sts", "cloudformation", "cloudfront", "sns", "sqs"}


class Authorizer:
    """``identities`` tells which policies apply to a principal, and its generation."""

    def __init__(self, identities: Any) -> None:
        self._identities = identities
        self._generation = -1
        self._allowed: set[tuple[Principal, str, str]] = set()

    def check(self, call: Call, accesses: Sequence[Access]) -> None:
        """Returns when every access is allowed; raises AccessDenied in AWS's words otherwise."""
        principal = call.principal
        generation = self._identities.generation
        if generation != self._generation or len(self._allowed) > CACHED_MAX:
            self._generation = generation
            self._allowed.clear()
        for access in accesses:
            plain = access.resource_policy is None and not access.owner
            key = (principal, access.action, access.resource)
            if plain and key in self._allowed:
                continue
            verdict = self._decide(call, access)
            if not verdict.allowed:
                raise self._refusal(call, access, verdict)
            if plain and not verdict.contextual:
                self._allowed.add(key)

    def allows(self, call: Call, access: Access) -> bool:
        """The same question, answered instead of raised."""
        return self._decide(call, access).allowed

    def _decide(self, call: Call, access: Access) -> Decision:
        principal = call.principal
        statements = None
        if access.resource_policy is not None:
            try:
                statements = compile_document(access.resource_policy)
            except Malformed:
                statements = ()
        return decide(
            self._identities.caller(principal),
            self._identities.policies(principal),
            access.action,
            access.resource,
            context(call, access),
            statements,
            access.owner,
        )

    @staticmethod
    def _refusal(call: Call, access: Access, verdict: Decision) -> AwsError:
        code = "AccessDenied" if call.service in PLAIN else "AccessDeniedException"
        if call.principal.kind == "anonymous":
            return AwsError(code, "Access Denied", 403)
        where = "" if access.resource == "*" else f" on resource: {access.resource}"
        return AwsError(
            code,
            f"User: {call.principal.arn} is not authorized to perform: {access.action}{where} "
            f"{verdict.reason}",
            403,
        )


def context(call: Call, access: Access) -> Mapping[str, Any]:
    """Condition keys of a request, names in lower case.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-keys.html
    """
    principal, request = call.principal, call.request
    now = time.time()
    told: dict[str, Any] = {
        "aws:currenttime": datetime.fromtimestamp(now, UTC).isoformat(),
        "aws:epochtime": str(int(now)),
        "aws:requestedregion": call.region,
        "aws:principaltype": {"user": "User", "role": "AssumedRole", "root": "Account"}.get(
            principal.kind, "Anonymous"
        ),
    }
    if principal.kind in ("user", "role", "root"):
        told["aws:principalarn"] = _principal_arn(principal)
        told["aws:principalaccount"] = principal.account
        told["aws:userid"] = principal.id or principal.account
    if principal.kind == "user":
        told["aws:username"] = principal.name
    if principal.kind == "service":
        told["aws:principalservicename"] = principal.name or principal.arn
        told["aws:principalisawsservice"] = "true"
    if request is not None:
        told["aws:sourceip"] = request.remote
        told["aws:securetransport"] = "true" if request.scheme == "https" else "false"
        for key, header in (("aws:useragent", "user-agent"), ("aws:referer", "referer")):
            if header in request.headers:
                told[key] = request.headers[header]
    for key, value in (*principal.context, *access.context.items()):
        told[key.lower()] = value
    return told


def _principal_arn(principal: Principal) -> str:
    """A session's principal ARN is its role's, as AWS tells it."""
    if principal.kind == "role":
        return f"arn:aws:iam::{principal.account}:role/{principal.name}"
    return principal.arn
