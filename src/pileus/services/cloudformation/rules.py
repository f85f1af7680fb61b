"""The ``Rules`` of a template: what must be true of its parameters before anything is made.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/rules-section-structure.html
"""

from __future__ import annotations

from typing import Any

from pileus.services.cloudformation.intrinsics import Scope
from pileus.services.cloudformation.template import invalid

MEMBERSHIP = {
    "Fn::Contains": lambda texts, sought: sought in texts,
    "Fn::EachMemberEquals": lambda texts, sought: all(t == sought for t in texts),
    "Fn::EachMemberIn": lambda texts, allowed: all(t in allowed for t in texts),
}
BOOLEAN = {"Fn::And": all, "Fn::Or": any, "Fn::Not": lambda told: not any(told)}


def check(template: dict[str, Any], values: dict[str, Any]) -> None:
    """``ValidationError`` with the description of the first assertion that does not hold."""
    told = template.get("Rules")
    if not told:
        return
    scope = Scope({}, values, template.get("Mappings", {}), {}, _no_exports)
    try:
        for name, rule in told.items():
            if "RuleCondition" in rule and not _holds(scope, rule["RuleCondition"]):
                continue
            for assertion in rule["Assertions"]:
                if not _holds(scope, assertion["Assert"]):
                    why = assertion.get("AssertDescription") or f"rule {name} does not hold"
                    raise invalid(f"Template validation error: Assertion failed: {why}")
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise invalid("Template format error: Rules have the wrong form.") from error


def _holds(scope: Scope, value: Any) -> bool:
    ((name, argument),) = value.items()
    if name == "Fn::Equals":
        left, right = (str(scope.resolve(a)) for a in argument)
        return left == right
    if name in BOOLEAN:
        return BOOLEAN[name]([_holds(scope, a) for a in argument])
    if name in MEMBERSHIP:
        members, sought = (scope.resolve(a) for a in argument)
        return MEMBERSHIP[name](members, sought)
    raise invalid(f"Template format error: {name} is not offered in Rules.")


def _no_exports(name: str) -> str:
    raise invalid("Template format error: Fn::ImportValue does not stand in Rules.")
