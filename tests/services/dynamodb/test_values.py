"""Attribute values: checks, sizes, comparison."""

from __future__ import annotations

from typing import Any

import pytest

from pileus.errors import AwsError
from pileus.services.dynamodb import values


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ({"S": "abc"}, 3),
        ({"S": "äö"}, 4),
        ({"S": ""}, 0),
        ({"N": "1"}, 2),
        ({"B": "AQID"}, 3),
        ({"BOOL": True}, 1),
        ({"NULL": True}, 1),
        ({"SS": ["a", "bc"]}, 3),
        ({"NS": ["1", "22"]}, 4),
        ({"BS": ["AQ==", "AQI="]}, 3),
        ({"L": []}, 3),
        ({"M": {}}, 3),
        ({"L": [{"S": "a"}, {"N": "1"}]}, 3 + 2 + 3),
        ({"M": {"ab": {"S": "a"}}}, 3 + 1 + 2 + 1),
    ],
)
def test_sizes(value: dict[str, Any], size: int) -> None:
    assert values.check(value) == size
    assert values.size_of(value) == size


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({}, "Supplied AttributeValue is empty"),
        ({"S": "a", "N": "1"}, "more than one datatypes set"),
        ({"NULL": False}, "Null attribute value types must have the value of true"),
        ({"SS": []}, "An string set  may not be empty"),
        ({"NS": []}, "An number set  may not be empty"),
        ({"BS": []}, "Binary sets should not be empty"),
        ({"SS": ["a", "a"]}, r"Input collection \[a, a\] contains duplicates."),
        ({"NS": ["1", "1.0"]}, "Input collection contains duplicates"),
        ({"B": "AQI"}, "expected a multiple of 4"),
        ({"B": "AQ=="[:-2] + "R="}, "Invalid last non-pad"),
        ({"M": {"a": {"N": "x"}}}, "numeric value: x"),
    ],
)
def test_refused(value: dict[str, Any], words: str) -> None:
    with pytest.raises(AwsError, match=words):
        values.check(value)


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {"S": "x"}
    for _ in range(depth):
        value = {"L": [value]}
    return value


def test_nesting_ends_at_32_levels() -> None:
    values.check(nested(31))
    with pytest.raises(AwsError, match="Nesting Levels"):
        values.check(nested(32))


def test_sets_compare_without_order_also_when_nested() -> None:
    a = {"M": {"x": {"SS": ["a", "b"]}}}
    b = {"M": {"x": {"SS": ["b", "a"]}}}
    assert values.equal(a, b)
    assert not values.equal(a, {"M": {"x": {"SS": ["b", "c"]}}})
    assert not values.equal({"N": "1"}, {"S": "1"})


def test_order_needs_one_ordered_type() -> None:
    assert values.order({"N": "9"}, {"N": "10"}) == -1
    assert values.order({"S": "9"}, {"S": "10"}) == 1
    assert values.order({"B": "/w=="}, {"B": "AQ=="}) == 1
    assert values.order({"N": "1"}, {"S": "1"}) is None
    assert values.order({"L": []}, {"L": []}) is None
