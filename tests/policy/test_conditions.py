"""Condition operators, by AWS's user guide."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.policy.conditions import Malformed, compile_conditions


def holds(block: dict[str, Any], context: dict[str, Any]) -> bool:
    return all(test(context) for test in compile_conditions(block, True))


@pytest.mark.parametrize(
    ("operator", "wanted", "value", "result"),
    [
        ("StringEquals", "a", "a", True),
        ("StringEquals", ["a", "b"], "b", True),
        ("StringEquals", "a", "A", False),
        ("StringEquals", "a*", "ab", False),
        ("StringNotEquals", ["a", "b"], "b", False),
        ("StringNotEquals", ["a", "b"], "c", True),
        ("StringEqualsIgnoreCase", "a", "A", True),
        ("StringNotEqualsIgnoreCase", "a", "A", False),
        ("StringLike", "a*?", "abc", True),
        ("StringNotLike", "a*", "abc", False),
        ("NumericEquals", "10", "10.0", True),
        ("NumericNotEquals", 10, "11", True),
        ("NumericLessThan", "10", "9", True),
        ("NumericLessThanEquals", 10, "10", True),
        ("NumericGreaterThan", "10", "ten", False),
        ("NumericGreaterThanEquals", "10", "9", False),
        ("DateEquals", "2026-01-01T00:00:00Z", "2026-01-01T01:00:00+01:00", True),
        ("DateLessThan", "2026-01-01", "2025-12-31T23:59:59Z", True),
        ("DateGreaterThan", "1700000000", "2025-12-31T23:59:59Z", True),
        ("DateGreaterThanEquals", "2026-01-01", "x", False),
        ("Bool", "true", True, True),
        ("Bool", True, "false", False),
        ("BinaryEquals", "QmluYXJ5", "QmluYXJ5", True),
        ("IpAddress", "203.0.113.0/24", "203.0.113.7", True),
        ("IpAddress", ["10.0.0.0/8", "2001:db8::/32"], "2001:db8::1", True),
        ("NotIpAddress", "203.0.113.0/24", "203.0.113.7", False),
        ("NotIpAddress", "203.0.113.0/24", "198.51.100.1", True),
        ("ArnLike", "arn:aws:s3:::b*", "arn:aws:s3:::bucket", True),
        ("ArnEquals", "arn:aws:sns:*:1:t", "arn:aws:sns:eu-west-1:1:t", True),
        ("ArnLike", "arn:aws:*:t", "arn:aws:sns:eu-west-1:1:t", False),
        ("ArnNotLike", "arn:aws:s3:::b*", "arn:aws:s3:::c", True),
        ("Null", "true", "x", False),
        ("Null", "false", "x", True),
        ("stringequals", "a", "a", True),
    ],
)
def test_operators(operator: str, wanted: Any, value: Any, result: bool) -> None:
    assert holds({operator: {"AWS:Key": wanted}}, {"aws:key": value}) is result


@pytest.mark.parametrize(
    ("operator", "result"),
    [
        ("StringEquals", False),
        ("StringNotEquals", True),
        ("StringEqualsIfExists", True),
        ("BoolIfExists", True),
        ("Null", True),
        ("ForAllValues:StringEquals", True),
        ("ForAnyValue:StringEquals", False),
        ("ForAnyValue:StringNotEquals", False),
        ("IpAddress", False),
        ("NotIpAddress", True),
    ],
)
def test_absent_key(operator: str, result: bool) -> None:
    assert holds({operator: {"aws:key": "true"}}, {}) is result


@pytest.mark.parametrize(
    ("operator", "values", "result"),
    [
        ("ForAllValues:StringEquals", ["a", "b"], True),
        ("ForAllValues:StringEquals", ["a", "c"], False),
        ("ForAnyValue:StringEquals", ["c", "b"], True),
        ("ForAnyValue:StringEquals", ["c"], False),
        ("ForAllValues:StringNotEquals", ["c", "d"], True),
        ("ForAllValues:StringNotEquals", ["c", "a"], False),
        ("ForAnyValue:StringNotEquals", ["c", "a"], True),
        ("ForAnyValue:StringLike", ["xa"], False),
    ],
)
def test_sets(operator: str, values: list[str], result: bool) -> None:
    assert holds({operator: {"aws:TagKeys": ["a", "b"]}}, {"aws:tagkeys": values}) is result


def test_all_operators_and_keys_must_hold() -> None:
    block = {"StringEquals": {"a:x": "1", "a:y": "2"}, "Bool": {"a:z": "true"}}
    whole = {"a:x": "1", "a:y": "2", "a:z": "true"}
    assert holds(block, whole)
    for key in whole:
        assert not holds(block, whole | {key: "no"})


def test_values_take_variables() -> None:
    block = {"StringLike": {"s3:prefix": ["", "home/${aws:username}/*"]}}
    assert holds(block, {"s3:prefix": "home/bob/x", "aws:username": "bob"})
    assert not holds(block, {"s3:prefix": "home/bob/x", "aws:username": "eve"})


@pytest.mark.parametrize(
    "block",
    [
        [],
        {"StringEquals": "x"},
        {"StringIs": {"a:b": "c"}},
        {"ForSomeValues:StringEquals": {"a:b": "c"}},
        {"StringEquals": {"a:b": {"c": 1}}},
        {"Null": {"a:b": "perhaps"}},
    ],
)
def test_malformed(block: Any) -> None:
    with pytest.raises(Malformed):
        compile_conditions(block, True)
