"""Condition operators: from a statement's Condition block to tests of a request's context.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import base64
import binascii
import functools
import ipaddress
import operator as op
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from pileus.policy.patterns import Context, fill, matches, text_of

Condition = Callable[[Context], bool]
Test = Callable[[str, str, Context], bool]  # (value of the request, value of the policy, context)


class Malformed(ValueError):
    """A policy document that AWS would refuse; the text says why."""


def _filled(test: Callable[[str, str], bool]) -> Test:
    """A test without wildcards: variables of the policy's value are replaced first."""

    def compare(actual: str, wanted: str, context: Context) -> bool:
        if "${" in wanted:
            value = fill(wanted, context)
            if value is None:
                return False
            wanted = value
        try:
            return test(actual, wanted)
        except ValueError:
            return False

    return compare


def _number(test: Callable[[float, float], bool]) -> Test:
    return _filled(lambda actual, wanted: test(float(actual), float(wanted)))


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _date(test: Callable[[float, float], bool]) -> Test:
    return _filled(lambda actual, wanted: test(_moment(actual), _moment(wanted)))


def _like(actual: str, wanted: str, context: Context) -> bool:
    return matches(wanted, actual, context)


def _arn_like(actual: str, wanted: str, context: Context) -> bool:
    """Each of the six parts of an ARN is matched by itself."""
    ours, theirs = actual.split(":", 5), _arn_parts(wanted)
    if len(theirs) < 6:
        return wanted == "*" or (len(ours) < 6 and matches(wanted, actual, context))
    return len(ours) == 6 and all(matches(w, a, context) for a, w in zip(ours, theirs, strict=True))


def _arn_parts(pattern: str) -> list[str]:
    """Split at colons outside ``${…}`` (variables' names hold colons)."""
    parts: list[str] = []
    depth = start = 0
    for at, c in enumerate(pattern):
        if c == "{" and pattern[at - 1 : at] == "$":
            depth += 1
        elif c == "}" and depth:
            depth -= 1
        elif c == ":" and not depth and len(parts) < 5:
            parts.append(pattern[start:at])
            start = at + 1
    return [*parts, pattern[start:]]


@functools.lru_cache(maxsize=1024)
def _network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text, strict=False)


def _in_network(actual: str, wanted: str) -> bool:
    return ipaddress.ip_address(actual) in _network(wanted)


def _same_bytes(actual: str, wanted: str) -> bool:
    try:
        return base64.b64decode(actual, validate=True) == base64.b64decode(wanted, validate=True)
    except binascii.Error:
        return False


def _same_caseless(actual: str, wanted: str) -> bool:
    return actual.lower() == wanted.lower()


# name in lower case -> (test, negated): a negated operator asks that no value of the policy match.
OPERATORS: dict[str, tuple[Test, bool]] = {
    "stringequals": (_filled(op.eq), False),
    "stringnotequals": (_filled(op.eq), True),
    "stringequalsignorecase": (_filled(_same_caseless), False),
    "stringnotequalsignorecase": (_filled(_same_caseless), True),
    "stringlike": (_like, False),
    "stringnotlike": (_like, True),
    "numericequals": (_number(op.eq), False),
    "numericnotequals": (_number(op.eq), True),
    "numericlessthan": (_number(op.lt), False),
    "numericlessthanequals": (_number(op.le), False),
    "numericgreaterthan": (_number(op.gt), False),
    "numericgreaterthanequals": (_number(op.ge), False),
    "dateequals": (_date(op.eq), False),
    "datenotequals": (_date(op.eq), True),
    "datelessthan": (_date(op.lt), False),
    "datelessthanequals": (_date(op.le), False),
    "dategreaterthan": (_date(op.gt), False),
    "dategreaterthanequals": (_date(op.ge), False),
    "bool": (_filled(_same_caseless), False),
    "binaryequals": (_filled(_same_bytes), False),
    "ipaddress": (_filled(_in_network), False),
    "notipaddress": (_filled(_in_network), True),
    "arnequals": (_arn_like, False),
    "arnlike": (_arn_like, False),
    "arnnotequals": (_arn_like, True),
    "arnnotlike": (_arn_like, True),
}
QUANTIFIERS = ("", "forallvalues", "foranyvalue")


def compile_conditions(block: Any, variables: bool) -> tuple[Condition, ...]:
    """One test per (operator, key); a statement holds when all do. ``variables``: the version of
    the policy has them. Raises ``Malformed``."""
    if not isinstance(block, dict):
        raise Malformed("Syntax errors in policy.")
    out = []
    for operator, keys in block.items():
        if not isinstance(keys, dict):
            raise Malformed("Syntax errors in policy.")
        for key, wanted in keys.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if not all(isinstance(v, str | int | float | bool) for v in values):
                raise Malformed("Syntax errors in policy.")
            texts = tuple(text_of(v) for v in values)
            if not variables:
                texts = tuple(t.replace("${", "${$}{") for t in texts)
            out.append(_compile(operator, key.lower(), texts))
    return tuple(out)


def _compile(operator: str, key: str, wanted: tuple[str, ...]) -> Condition:
    quantifier, _, name = operator.lower().rpartition(":")
    if quantifier not in QUANTIFIERS:
        raise Malformed(f"Invalid Condition type : {operator}.")
    if name == "null":
        absent = {"true": True, "false": False}.get(wanted[0].lower() if wanted else "")
        if absent is None or len(wanted) != 1:
            raise Malformed("Null condition expects a single boolean value.")
        return lambda context: (context.get(key) in (None, [], ())) == absent
    if_exists = name.endswith("ifexists")
    base = name[: -len("ifexists")] if if_exists else name
    if base not in OPERATORS:
        raise Malformed(f"Invalid Condition type : {operator}.")
    return _condition(key, wanted, *OPERATORS[base], quantifier, if_exists)


def _condition(
    key: str, wanted: tuple[str, ...], test: Test, negated: bool, quantifier: str, if_exists: bool
) -> Condition:
    # An absent key fails a plain operator and passes a negated one; ForAnyValue asks for a value,
    # ForAllValues is content with none.
    absent = if_exists or quantifier == "forallvalues" or (negated and not quantifier)
    every = quantifier == "forallvalues" or (negated and not quantifier)

    def one(actual: str, context: Context) -> bool:
        return any(test(actual, w, context) for w in wanted) != negated

    def condition(context: Context) -> bool:
        value = context.get(key)
        if value is None:
            return absent
        if not isinstance(value, list | tuple):
            return one(text_of(value), context)
        if not value:
            return absent
        found = (one(text_of(v), context) for v in value)
        return all(found) if every else any(found)

    return condition
