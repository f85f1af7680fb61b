"""Policy documents: AWS's grammar, checked and compiled to statements that match quickly.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.policy.conditions import Condition, Malformed, compile_conditions
from pileus.policy.patterns import Context, glob, matches

__all__ = ["Context", "Malformed", "Statement", "compile_document", "compile_text"]
VERSIONS = ("2012-10-17", "2008-10-17")
STATEMENT_KEYS = {
    "Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource", "NotResource",
    "Condition",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Statement:
    """One compiled statement. ``uses_context``: its answer depends on more than action and
    resource."""

    allow: bool
    sid: str
    actions: tuple[str, ...]
    not_actions: bool
    resources: tuple[str, ...]
    not_resources: bool
    principals: Mapping[str, tuple[str, ...]] | None
    not_principals: bool
    conditions: tuple[Condition, ...]
    uses_context: bool

    def covers_action(self, action: str) -> bool:
        """``action`` in lower case."""
        return any(glob(a)(action) for a in self.actions) != self.not_actions

    def covers_resource(self, resource: str, context: Context) -> bool:
        if not self.resources:
            return True  # a trust policy has no resource: it is the role's own
        found = any(matches(p, resource, context) for p in self.resources)
        return found != self.not_resources

    def holds(self, context: Context) -> bool:
        return all(condition(context) for condition in self.conditions)


@functools.lru_cache(maxsize=4096)
def compile_text(text: str) -> tuple[Statement, ...]:
    """The statements of a policy's JSON text. Raises ``Malformed``."""
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise Malformed("Syntax errors in policy.") from e
    return compile_document(document)


def compile_document(document: Any, *, identity: bool | None = None) -> tuple[Statement, ...]:
    """The statements of a parsed policy. ``identity`` True: no principals allowed; False:
    required."""
    if not isinstance(document, dict):
        raise Malformed("Syntax errors in policy.")
    unknown = set(document) - {"Version", "Id", "Statement"}
    if unknown:
        raise Malformed(f"Syntax errors in policy: unknown element {sorted(unknown)[0]}.")
    version = document.get("Version", "2008-10-17")
    if version not in VERSIONS:
        raise Malformed(f"The policy must contain a valid version string: {version}")
    statements = document.get("Statement")
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise Malformed("Syntax errors in policy: a policy must have statements.")
    return tuple(_statement(s, identity, version) for s in statements)


def _texts(value: Any, name: str) -> tuple[str, ...]:
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not values or not all(isinstance(v, str) for v in values):
        raise Malformed(f"Syntax errors in policy: {name} must be a string or a list of strings.")
    return tuple(values)


def _one_of(statement: dict[str, Any], name: str, required: bool) -> tuple[tuple[str, ...], bool]:
    plain, negated = name in statement, f"Not{name}" in statement
    if plain and negated:
        raise Malformed(f"Statement must not contain both {name} and Not{name}.")
    if not plain and not negated:
        if required:
            raise Malformed(
                f"Policy statement must contain {'actions' if name == 'Action' else 'resources'}."
            )
        return (), False
    return _texts(statement[name if plain else f"Not{name}"], name), negated


def _statement(statement: Any, identity: bool | None, version: str) -> Statement:
    if not isinstance(statement, dict):
        raise Malformed("Syntax errors in policy: a statement must be an object.")
    unknown = set(statement) - STATEMENT_KEYS
    if unknown:
        raise Malformed(f"Syntax errors in policy: unknown element {sorted(unknown)[0]}.")
    effect = statement.get("Effect")
    if effect not in ("Allow", "Deny"):
        raise Malformed(f"Invalid effect: {effect}")
    actions, not_actions = _one_of(statement, "Action", required=True)
    for action in actions:
        if action != "*" and ":" not in action:
            raise Malformed(
                "Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc."
            )
    resources, not_resources = _one_of(statement, "Resource", required=identity is True)
    for resource in resources if identity else ():
        if resource != "*" and not resource.startswith("arn:") and not resource.startswith("*"):
            raise Malformed(f'Resource {resource} must be in ARN format or "*".')
    principals, not_principals = _principals(statement, identity)
    conditions = compile_conditions(statement.get("Condition", {}), version == VERSIONS[0])
    variables = any("${" in r for r in resources)
    if version != VERSIONS[0]:  # the older version has no variables
        resources, variables = tuple(r.replace("${", "${$}{") for r in resources), False
    return Statement(
        effect == "Allow",
        str(statement.get("Sid", "")),
        tuple(a.lower() for a in actions),
        not_actions,
        resources,
        not_resources,
        principals,
        not_principals,
        conditions,
        bool(conditions) or variables,
    )


def _principals(
    statement: dict[str, Any], identity: bool | None
) -> tuple[Mapping[str, tuple[str, ...]] | None, bool]:
    plain, negated = "Principal" in statement, "NotPrincipal" in statement
    if identity is True and (plain or negated):
        raise Malformed("Policy document should not specify a principal.")
    if not plain and not negated:
        if identity is False:
            raise Malformed("Missing required field Principal")
        return None, False
    value = statement["Principal" if plain else "NotPrincipal"]
    if value == "*":
        return {"*": ("*",)}, negated
    if not isinstance(value, dict) or not value:
        raise Malformed("Invalid principal in policy")
    kinds = {"AWS", "Service", "Federated", "CanonicalUser"}
    if set(value) - kinds:
        raise Malformed("Invalid principal in policy")
    return {k: _texts(v, "Principal") for k, v in value.items()}, negated
