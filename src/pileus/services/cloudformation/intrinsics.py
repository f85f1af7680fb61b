"""Intrinsic functions, conditions and references: from a template's value to a plain one.

https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference.html
"""

from __future__ import annotations

import base64
import ipaddress
import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pileus.services.cloudformation.template import invalid

NO_VALUE = object()
SUB = re.compile(r"\$\{(!?)([^}]*)\}")


@dataclass
class Scope:
    """Everything a value may refer to."""

    pseudo: Mapping[str, Any]
    parameters: Mapping[str, Any]
    mappings: Mapping[str, Any]
    conditions: Mapping[str, Any]
    exports: Callable[[str], str]
    resources: dict[str, tuple[str, Mapping[str, Any]]] = field(default_factory=dict)
    _decided: dict[str, bool] = field(default_factory=dict)

    def holds(self, name: str) -> bool:
        """Whether the template's condition ``name`` is true."""
        if name not in self._decided:
            if name not in self.conditions:
                raise invalid(f"Template error: unresolved condition dependency {name}")
            self._decided[name] = False  # a cycle ends here
            self._decided[name] = self._truth(self.conditions[name])
        return self._decided[name]

    def _truth(self, value: Any) -> bool:
        if isinstance(value, dict) and list(value) == ["Condition"]:
            return self.holds(value["Condition"])
        if not isinstance(value, dict) or len(value) != 1:
            raise invalid("Template format error: Conditions can only be boolean operations")
        name, argument = next(iter(value.items()))
        if name == "Fn::Equals":
            left, right = (self.resolve(a) for a in argument)
            return _text(left) == _text(right)
        if name == "Fn::Not":
            return not self._truth(argument[0])
        if name == "Fn::And":
            return all(self._truth(a) for a in argument)
        if name == "Fn::Or":
            return any(self._truth(a) for a in argument)
        raise invalid(f"Template error: {name} is not a boolean operation")

    def resolve(self, value: Any) -> Any:
        """``value`` with every reference and function carried out."""
        if isinstance(value, list):
            items = (self.resolve(v) for v in value)
            return [v for v in items if v is not NO_VALUE]
        if not isinstance(value, dict):
            return value
        if len(value) == 1:
            name, argument = next(iter(value.items()))
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return self._function(name[4:], argument)
        resolved = {k: self.resolve(v) for k, v in value.items()}
        return {k: v for k, v in resolved.items() if v is not NO_VALUE}

    def _ref(self, name: Any) -> Any:
        if name == "AWS::NoValue":
            return NO_VALUE
        for known in (self.pseudo, self.parameters):
            if name in known:
                return known[name]
        if name in self.resources:
            return self.resources[name][0]
        raise invalid(
            f"Template format error: Unresolved resource dependencies [{name}] in the Resources "
            "block of the template"
        )

    def _attribute(self, logical: str, name: str) -> Any:
        if logical not in self.resources:
            raise invalid(
                f"Template error: instance of Fn::GetAtt references undefined resource {logical}"
            )
        attributes = self.resources[logical][1]
        if name not in attributes:
            raise invalid(
                f"Template error: resource {logical} does not support attribute type {name}"
                " in Fn::GetAtt"
            )
        return attributes[name]

    def _function(self, name: str, argument: Any) -> Any:
        function = FUNCTIONS.get(name)
        if function is None:
            raise invalid(f"Template format error: Fn::{name} is not offered")
        try:
            return function(self, argument)
        except (TypeError, KeyError, IndexError, AttributeError) as e:
            raise invalid(f"Template error: Fn::{name} object has the wrong form") from e

    def _if(self, argument: Any) -> Any:
        condition, yes, no = argument
        return self.resolve(yes if self.holds(condition) else no)

    def _get_att(self, argument: Any) -> Any:
        logical, name = argument.split(".", 1) if isinstance(argument, str) else argument
        return self._attribute(logical, str(self.resolve(name)))

    def _sub(self, argument: Any) -> str:
        text, names = argument if isinstance(argument, list) else (argument, {})
        local = {k: self.resolve(v) for k, v in names.items()}

        def one(match: re.Match[str]) -> str:
            literal, name = match[1], match[2].strip()
            if literal:
                return "${" + match[2] + "}"
            if name in local:
                return _text(local[name])
            logical, _, attribute = name.partition(".")
            return _text(self._attribute(logical, attribute) if attribute else self._ref(name))

        return SUB.sub(one, text)

    def _join(self, argument: Any) -> str:
        between, parts = argument
        return str(between).join(_text(p) for p in self.resolve(parts))

    def _select(self, argument: Any) -> Any:
        index, items = argument
        items = self.resolve(items)
        at = int(self.resolve(index))
        if not 0 <= at < len(items):
            raise invalid("Template error: Fn::Select cannot select nonexistent value at index")
        return items[at]

    def _split(self, argument: Any) -> list[str]:
        between, text = argument
        return str(self.resolve(text)).split(between)

    def _find_in_map(self, argument: Any) -> Any:
        name, first, second = (self.resolve(a) for a in argument[:3])
        try:
            return self.resolve(self.mappings[name][first][second])
        except KeyError:
            if len(argument) > 3 and "DefaultValue" in argument[3]:
                return self.resolve(argument[3]["DefaultValue"])
            raise invalid(
                f"Template error: Unable to get mapping for {name}::{first}::{second}"
            ) from None

    def _cidr(self, argument: Any) -> list[str]:
        block, count, bits = self.resolve(argument)
        network = ipaddress.ip_network(block)
        subnets = network.subnets(new_prefix=network.max_prefixlen - int(bits))
        return [str(net) for net, _ in zip(subnets, range(int(count)), strict=False)]


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return (
        value
        if isinstance(value, str)
        else json.dumps(value)
        if isinstance(value, dict)
        else str(value)
    )


FUNCTIONS: dict[str, Callable[[Scope, Any], Any]] = {
    "If": Scope._if,
    "GetAtt": Scope._get_att,
    "Sub": Scope._sub,
    "Join": Scope._join,
    "Select": Scope._select,
    "Split": Scope._split,
    "FindInMap": Scope._find_in_map,
    "Cidr": Scope._cidr,
    "Base64": lambda s, a: base64.b64encode(_text(s.resolve(a)).encode()).decode(),
    "GetAZs": lambda s, a: [f"{s.resolve(a) or s.pseudo['AWS::Region']}a"],
    "ImportValue": lambda s, a: s.exports(_text(s.resolve(a))),
    "Length": lambda s, a: len(s.resolve(a)),
    "ToJsonString": lambda s, a: json.dumps(s.resolve(a), separators=(",", ":")),
    "Equals": lambda s, a: s._truth({"Fn::Equals": a}),
}


def references(value: Any, names: Any) -> Iterator[str]:
    """The logical names in ``names`` that ``value`` refers to."""
    if isinstance(value, list):
        for item in value:
            yield from references(item, names)
    elif isinstance(value, dict):
        for name, argument in value.items():
            if name == "Ref" and isinstance(argument, str):
                if argument in names:
                    yield argument
            elif name == "Fn::GetAtt":
                logical = _owner(argument)
                if logical in names:
                    yield logical
            elif name == "Fn::Sub":
                _check_sub(argument)
                text = argument[0] if isinstance(argument, list) else argument
                found = (m[2].strip().split(".")[0] for m in SUB.finditer(str(text)) if not m[1])
                yield from (f for f in found if f in names)
                if isinstance(argument, list):
                    yield from references(argument[1], names)
            else:
                yield from references(argument, names)


def _owner(argument: Any) -> str:
    """The resource an Fn::GetAtt asks: ``"A.b"`` or ``["A", "b"]``."""
    parts = argument.split(".", 1) if isinstance(argument, str) else argument
    fits = isinstance(parts, list) and len(parts) == 2 and isinstance(parts[0], str)
    if not fits or not all(parts):
        raise invalid(
            "Template error: every Fn::GetAtt object requires two non-empty parameters, the"
            " resource name and the resource attribute"
        )
    return str(parts[0])


def _check_sub(argument: Any) -> None:
    """A text, or a text and a map."""
    parts = argument if isinstance(argument, list) else [argument, {}]
    if len(parts) != 2 or not isinstance(parts[0], str) or not isinstance(parts[1], dict):
        raise invalid(
            "Template error: One or more Fn::Sub intrinsic functions don't specify expected"
            " arguments. Specify a string as first argument, and an optional second argument to"
            " specify a mapping of values to replace in the string"
        )


PSEUDO = frozenset(
    f"AWS::{name}"
    for name in (
        "AccountId", "NotificationARNs", "NoValue", "Partition", "Region", "StackId", "StackName",
        "URLSuffix",
    )
)  # fmt: skip


class _Anything:
    """Every name: to ask ``references`` for all of them."""

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str)


def check_references(template: Mapping[str, Any]) -> None:
    """``ValidationError`` when resources or outputs refer to a name the template does not have."""
    known = PSEUDO | set(template["Resources"]) | set(template.get("Parameters", {}))
    for section in ("Resources", "Outputs"):
        for part in template.get(section, {}).values():
            unknown = {r for r in references(part, _Anything()) if r not in known}
            local = {str(k) for k in _sub_names(part)}
            if unknown - local:
                names = ", ".join(sorted(unknown - local))
                raise invalid(
                    f"Template format error: Unresolved resource dependencies [{names}] in the "
                    f"{section} block of the template"
                )


def _sub_names(value: Any) -> Iterator[str]:
    """Names that an Fn::Sub brings along itself."""
    if isinstance(value, list):
        for item in value:
            yield from _sub_names(item)
    elif isinstance(value, dict):
        for name, argument in value.items():
            if name == "Fn::Sub" and isinstance(argument, list):
                _check_sub(argument)
                yield from argument[1]
            yield from _sub_names(argument)


def dependencies(resources: Mapping[str, Any]) -> dict[str, set[str]]:
    """For each logical name what must exist before it; ``ValidationError`` on a cycle or an unknown
    DependsOn."""
    needs: dict[str, set[str]] = {}
    for name, resource in resources.items():
        explicit = resource.get("DependsOn", [])
        explicit = [explicit] if isinstance(explicit, str) else explicit
        if not isinstance(explicit, list) or not all(isinstance(d, str) for d in explicit):
            raise invalid("Template format error: DependsOn must be a string or list of strings.")
        unknown = [d for d in explicit if d not in resources]
        if unknown:
            raise invalid(
                f"Template format error: Unresolved resource dependencies [{', '.join(unknown)}]"
                " in the Resources block of the template"
            )
        needs[name] = set(explicit) | set(references(resource.get("Properties", {}), resources))
    done: set[str] = set()
    while len(done) < len(needs):
        ready = {n for n, d in needs.items() if n not in done and d <= done}
        if not ready:
            stuck = ", ".join(sorted(set(needs) - done))
            raise invalid(f"Circular dependency between resources: [{stuck}]")
        done |= ready
    return needs
