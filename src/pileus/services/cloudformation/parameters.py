"""Template parameters: declared types and limits, given values, defaults.

https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/parameters-section-structure.html
"""

from __future__ import annotations

import re
import time
from typing import Any

import regex

from pileus.services.cloudformation.template import invalid

PATTERNS_S = 0.1  # for all patterns of a template together
PATTERN_CHARS_MAX = 4096
STORED = re.compile(r"AWS::SSM::Parameter::Value<(.+)>\Z")


def settle(
    template: dict[str, Any], given: list[dict[str, Any]], previous: dict[str, str]
) -> dict[str, str]:
    """Parameter values as text, by name: given, kept from before, or default. Raises
    ``ValidationError``."""
    declared = template.get("Parameters", {})
    named = {g.get("ParameterKey", ""): g for g in given}
    unknown = sorted(set(named) - set(declared))
    if unknown:
        raise invalid(f"Parameters: [{', '.join(unknown)}] do not exist in the template")
    values: dict[str, str] = {}
    missing = []
    end_s = time.monotonic() + PATTERNS_S
    for name, about in declared.items():
        wish = named.get(name, {})
        if wish.get("UsePreviousValue") and wish.get("ParameterValue"):
            raise invalid(
                f"Invalid input for parameter key {name}. Cannot specify usePreviousValue as true"
                " and non empty value for a parameter"
            )
        if wish.get("UsePreviousValue") and name in previous:
            values[name] = previous[name]
        elif "ParameterValue" in wish:
            values[name] = str(wish["ParameterValue"])
        elif "Default" in about:
            values[name] = _text(about["Default"])
        else:
            missing.append(name)
            continue
        _check(name, about, values[name], end_s)
    if missing:
        raise invalid(f"Parameters: [{', '.join(missing)}] must have values")
    return values


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return ",".join(map(str, value)) if isinstance(value, list) else str(value)


def _check(name: str, about: dict[str, Any], value: str, end_s: float) -> None:
    if "AllowedValues" in about and value not in map(_text, about["AllowedValues"]):
        allowed = ", ".join(map(_text, about["AllowedValues"]))
        raise invalid(f"Parameter '{name}' must be one of AllowedValues [{allowed}]")
    pattern = about.get("AllowedPattern")
    if pattern is not None and not _fits(name, pattern, value, end_s):
        why = about.get("ConstraintDescription")
        raise invalid(
            f"Parameter {name} failed to satisfy constraint: {why}"
            if why
            else f"Parameter '{name}' must match pattern {pattern}"
        )
    if "MinLength" in about and len(value) < _limit(about, "MinLength"):
        raise invalid(f"Parameter '{name}' must contain at least {about['MinLength']} characters")
    if "MaxLength" in about and len(value) > _limit(about, "MaxLength"):
        raise invalid(f"Parameter '{name}' must contain at most {about['MaxLength']} characters")
    if about.get("Type") == "Number":
        _check_number(name, about, value)


def _fits(name: str, pattern: Any, value: str, end_s: float) -> bool:
    """Whoever writes the template writes the pattern: it may not hold up the others."""
    try:
        if len(pattern) > PATTERN_CHARS_MAX:
            raise regex.error("too long")
        timeout = max(end_s - time.monotonic(), 0.001)
        return regex.fullmatch(pattern, value, timeout=timeout) is not None
    except TimeoutError:
        raise invalid(
            f"Parameter '{name}': AllowedPattern {pattern[:200]} takes too long to match."
        ) from None
    except (regex.error, TypeError, OverflowError, RecursionError, MemoryError):
        raise invalid(
            f"Template format error: AllowedPattern {str(pattern)[:200]} is not a pattern."
        ) from None


def _limit(about: dict[str, Any], name: str) -> float:
    try:
        return float(about[name])
    except (TypeError, ValueError):
        raise invalid(f"Template format error: {name} must be a number.") from None


def _check_number(name: str, about: dict[str, Any], value: str) -> None:
    try:
        number = float(value)
    except ValueError:
        raise invalid(f"Parameter '{name}' must be a number.") from None
    if "MinValue" in about and number < _limit(about, "MinValue"):
        raise invalid(f"Parameter '{name}' must be a number not less than {about['MinValue']}")
    if "MaxValue" in about and number > _limit(about, "MaxValue"):
        raise invalid(f"Parameter '{name}' must be a number not greater than {about['MaxValue']}")


def stored(template: dict[str, Any], values: dict[str, str]) -> dict[str, str]:
    """The parameters whose values are names in the Parameter Store: those names, by parameter."""
    declared = template.get("Parameters", {})
    return {n: v for n, v in values.items() if STORED.match(str(declared[n].get("Type")))}


def typed(template: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
    """Values as ``Ref`` gives them: lists for list types."""
    out: dict[str, Any] = {}
    for name, value in values.items():
        kind = str(template.get("Parameters", {}).get(name, {}).get("Type", "String"))
        inner = STORED.match(kind)
        kind = inner[1] if inner is not None else kind
        is_list = kind == "CommaDelimitedList" or kind.startswith("List<")
        out[name] = [v.strip() for v in value.split(",")] if is_list and value else value
    return out
