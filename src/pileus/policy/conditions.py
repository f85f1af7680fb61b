"""Condition operators: from a statement's Condition block to tests of a request's context.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

Context = Mapping[str, Any]
Condition = Callable[[Context], bool]
Test = Callable[[str, str], bool]  # (value of the request, value of the policy)


def _number(test: Callable[[float, float], bool]) -> Test:
    def compare(actual: str, wanted: str) -> bool:
        try:
            return test(float(actual), float(wanted))
        except ValueError:
            return False

    return compare


def _moment(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        when = datetime.fromisoformat(text.replace("Z", "+00:00"))
        return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _date(test: Callable[[float, float], bool]) -> Test:
    def compare(actual: str, wanted: str) -> bool:
        try:
            return test(_moment(actual), _moment(wanted))
        except ValueError:
            return False

    return compare


def _like(actual: str, wanted: str) -> bool:
    from pileus.policy.document import glob

    return glob(wanted)(actual)


def _arn_like(actual: str, wanted: str) -> bool:
    """Each of the six parts of an ARN is matched by itself."""
    ours, theirs = actual.split(":", 5), wanted.split(":", 5)
    if len(theirs) < 6:
        return _like(actual, wanted)
    return len(ours) == 6 and all(_like(a, w) for a, w in zip(ours, theirs, strict=True))


def _in_network(actual: str, wanted: str) -> bool:
    try:
        return ipaddress.ip_address(actual) in ipaddress.ip_network(wanted, strict=False)
    except ValueError:
        return False


def _not(test: Test) -> Test:
    return lambda actual, wanted: not test(actual, wanted)


def _same(actual: str, wanted: str) -> bool:
    return actual == wanted


def _same_caseless(actual: str, wanted: str) -> bool:
    return actual.lower() == wanted.lower()


# name -> (test, negated): a negated operator asks that no value of the policy matches.
OPERATORS: dict[str, tuple[Test, bool]] = {
    "StringEquals": (_same, False),
    "StringNotEquals": (_same, True),
    "StringEqualsIgnoreCase": (_same_caseless, False),
    "StringNotEqualsIgnoreCase": (_same_caseless, True),
    "StringLike": (_like, False),
    "StringNotLike": (_like, True),
    "NumericEquals": (_number(float.__eq__), False),
    "NumericNotEquals": (_number(float.__eq__), True),
    "NumericLessThan": (_number(float.__lt__), False),
    "NumericLessThanEquals": (_number(float.__le__), False),
    "NumericGreaterThan": (_number(float.__gt__), False),
    "NumericGreaterThanEquals": (_number(float.__ge__), False),
    "DateEquals": (_date(float.__eq__), False),
    "DateNotEquals": (_date(float.__eq__), True),
    "DateLessThan": (_date(float.__lt__), False),
    "DateLessThanEquals": (_date(float.__le__), False),
    "DateGreaterThan": (_date(float.__gt__), False),
    "DateGreaterThanEquals": (_date(float.__ge__), False),
    "Bool": (_same_caseless, False),
    "BinaryEquals": (_same, False),
    "IpAddress": (_in_network, False),
    "NotIpAddress": (_in_network, True),
    "ArnEquals": (_arn_like, False),
    "ArnLike": (_arn_like, False),
    "ArnNotEquals": (_arn_like, True),
    "ArnNotLike": (_arn_like, True),
}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def compile_conditions(block: Any, malformed: type[ValueError]) -> tuple[Condition, ...]:
    """One test per (operator, key); a statement holds when all do."""
    if not isinstance(block, dict):
        raise malformed("Syntax errors in policy: Condition must be an object.")
    out = []
    for operator, keys in block.items():
        if not isinstance(keys, dict):
            raise malformed("Syntax errors in policy: a condition must be an object.")
        for key, wanted in keys.items():
            values = wanted if isinstance(wanted, list) else [wanted]
            if not all(isinstance(v, str | int | float | bool) for v in values):
                raise malformed("Syntax errors in policy: condition values must be strings.")
            out.append(_compile(operator, key.lower(), tuple(map(_text, values)), malformed))
    return tuple(out)


def _compile(
    operator: str, key: str, wanted: tuple[str, ...], malformed: type[ValueError]
) -> Condition:
    quantifier, _, name = operator.rpartition(":")
    if_exists = name.endswith("IfExists") and name != "Null"
    base = name[: -len("IfExists")] if if_exists else name
    if base == "Null":
        want_absent = wanted[0].lower() == "true"
        return lambda context: (context.get(key) is None) == want_absent
    if base not in OPERATORS or quantifier not in ("", "ForAllValues", "ForAnyValue"):
        raise malformed(f"Invalid Condition type : {operator}")
    test, negated = OPERATORS[base]

    def one(actual: str, context: Context) -> bool:
        from pileus.policy.document import substitute

        filled = (substitute(w, context) if "${" in w else w for w in wanted)
        return any(w is not None and test(actual, w) for w in filled) != negated

    def condition(context: Context) -> bool:
        value = context.get(key)
        if value is None:
            return if_exists or negated or quantifier == "ForAllValues"
        values = [_text(v) for v in value] if isinstance(value, list | tuple) else [_text(value)]
        if quantifier == "ForAllValues":
            return all(one(v, context) for v in values)
        if quantifier == "ForAnyValue":
            return any(one(v, context) for v in values)
        return one(values[0], context) if values else if_exists or negated

    return condition
