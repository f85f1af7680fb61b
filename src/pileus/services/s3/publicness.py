"""When is a bucket policy public? (S3 user guide, "The meaning of 'public'")

A policy is public when a statement allows everyone and no condition with a fixed value narrows it
to an account, an organisation, a network or a resource.
"""

from __future__ import annotations

import ipaddress
from typing import Any

_FIXED = frozenset(
    {
        "aws:sourcearn",
        "aws:sourcevpc",
        "aws:sourcevpce",
        "aws:sourceowner",
        "aws:sourceaccount",
        "aws:principalorgid",
        "aws:principalorgpaths",
        "aws:principalaccount",
        "aws:principalarn",
        "aws:userid",
        "s3:x-amz-server-side-encryption-aws-kms-key-id",
        "s3:dataaccesspointarn",
        "s3:dataaccesspointaccount",
    }
)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def is_public(policy: dict[str, Any] | None) -> bool:
    """Whether any statement of ``policy`` grants to everyone."""
    if policy is None:
        return False
    return any(_statement_is_public(s) for s in listed(policy.get("Statement", [])))


def _statement_is_public(statement: dict[str, Any]) -> bool:
    if statement.get("Effect") != "Allow":
        return False
    if "NotPrincipal" not in statement and not _everyone(statement.get("Principal")):
        return False
    return not any(
        _narrows(operator, name, listed(values))
        for operator, tests in statement.get("Condition", {}).items()
        for name, values in tests.items()
    )


def _everyone(principal: Any) -> bool:
    if isinstance(principal, dict):
        return any("*" in listed(value) for value in principal.values())
    return bool(principal == "*")


def _narrows(operator: str, name: str, values: list[Any]) -> bool:
    kind = operator.rsplit(":", 1)[-1].removesuffix("IfExists")
    if name.lower() == "aws:sourceip" and kind == "IpAddress":
        return all(_narrow_network(str(v)) for v in values)
    if name.lower() not in _FIXED:
        return False
    if kind not in ("StringEquals", "StringLike", "ArnEquals", "ArnLike", "StringEqualsIgnoreCase"):
        return False
    return not any("*" in str(v).strip("*") or str(v) == "*" or "${" in str(v) for v in values)


def _narrow_network(text: str) -> bool:
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return False
    return network.prefixlen >= (8 if network.version == 4 else 32)
