"""The parameters from before expressions: conditions, attribute updates, attributes to get.

``Expected``, ``KeyConditions``, ``QueryFilter`` and ``ScanFilter`` all become terms ``[attribute,
operator, operands]``; a test over terms is their AND or OR (API reference, "Legacy conditional
parameters").
"""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.values import (
    Item,
    Value,
    begins_with,
    check,
    check_name,
    contains,
    equal,
    order,
    type_of,
)

Term = list[Any]  # [attribute, operator, operands]
ONE = frozenset({"EQ", "NE", "LE", "LT", "GE", "GT", "CONTAINS", "NOT_CONTAINS", "BEGINS_WITH"})
SCALARS = ("S", "N", "B")
WITH_SETS = (*SCALARS, "SS", "NS", "BS")
OPERAND_TYPES = {
    "EQ": (*WITH_SETS, "L", "M", "BOOL", "NULL"),
    "NE": (*WITH_SETS, "L", "M", "BOOL", "NULL"),
    "LE": SCALARS,
    "LT": SCALARS,
    "GE": SCALARS,
    "GT": SCALARS,
    "CONTAINS": (*SCALARS, "BOOL", "NULL"),
    "NOT_CONTAINS": (*SCALARS, "BOOL", "NULL"),
    "BEGINS_WITH": ("S", "B"),
    "IN": SCALARS,
    "BETWEEN": SCALARS,
}


def passes(terms: list[Term], operator: str, item: Item) -> bool:
    """Do all (``operator`` OR: any) of ``terms`` hold for ``item``?"""
    results = (_holds(item.get(name), op, operands) for name, op, operands in terms)
    return any(results) if operator == "OR" and terms else all(results)


def _holds(value: Value | None, op: str, operands: list[Value]) -> bool:
    if op == "NULL":
        return value is None
    if op == "NOT_NULL":
        return value is not None
    if op == "IN":
        return any(equal(value, o) for o in operands)
    if op == "BETWEEN":
        return order(value, operands[0]) in (0, 1) and order(value, operands[1]) in (-1, 0)
    return _holds_one(value, op, operands[0])


def _holds_one(value: Value | None, op: str, operand: Value) -> bool:
    if op == "EQ":
        return equal(value, operand)
    if op == "NE":
        return not equal(value, operand)
    if op == "CONTAINS":
        return contains(value, operand)
    if op == "NOT_CONTAINS":
        return value is not None and not contains(value, operand)
    if op == "BEGINS_WITH":
        return begins_with(value, operand)
    result = order(value, operand)
    return result in {"LT": (-1,), "LE": (-1, 0), "GT": (1,), "GE": (0, 1)}[op]


# -- checking requests ----------------------------------------------------------------------------


def condition_terms(conditions: dict[str, Any] | None) -> list[Term]:
    """Terms of ``KeyConditions``, ``QueryFilter`` or ``ScanFilter``, checked."""
    terms = []
    for name, c in (conditions or {}).items():
        check_name(name)
        op, operands = c["ComparisonOperator"], c.get("AttributeValueList") or []
        for value in operands:
            check(value)
        _check_count(op, len(operands))
        _check_types(op, operands)
        terms.append([name, op, operands])
    return terms


def check_terms(terms: list[Term]) -> None:
    """Operand types of terms that came from a key condition expression."""
    for _, op, operands in terms:
        _check_types(op, operands)


def _check_count(op: str, n: int) -> None:
    if op in ("NULL", "NOT_NULL"):
        fits = n == 0
    elif op == "IN":
        fits = n > 0
    else:
        fits = n == (2 if op == "BETWEEN" else 1)
    if not fits:
        raise bad_parameter(f"Invalid number of argument(s) for the {op} ComparisonOperator")


def _check_types(op: str, operands: list[Value]) -> None:
    _check_same_type(operands)
    for value in operands:
        if op in OPERAND_TYPES and type_of(value) not in OPERAND_TYPES[op]:
            raise bad_parameter(
                f"ComparisonOperator {op} is not valid for {type_of(value)} AttributeValue type"
            )
    _check_between(op, operands)


def _check_same_type(operands: list[Value]) -> None:
    if len({type_of(v) for v in operands}) > 1:
        raise bad_parameter("AttributeValues inside AttributeValueList must be of same type")


def _check_between(op: str, operands: list[Value]) -> None:
    if op == "BETWEEN" and order(operands[0], operands[1]) == 1:
        raise invalid(
            "The BETWEEN condition was provided a range where the lower bound is greater than"
            " the upper bound"
        )


def expected_terms(expected: dict[str, Any] | None) -> list[Term]:
    """Terms of ``Expected``, checked."""
    for name in expected or ():
        check_name(name)
    return [_expected_term(name, c) for name, c in (expected or {}).items()]


def _expected_term(name: str, c: dict[str, Any]) -> Term:
    has_list, has_value = "AttributeValueList" in c, "Value" in c
    if has_list and has_value:
        raise bad_parameter(
            f"Value and AttributeValueList cannot be used together for Attribute: {name}"
        )
    if "ComparisonOperator" in c:
        return _expected_comparison(name, c, has_list, has_value)
    if has_list:
        raise bad_parameter(
            f"AttributeValueList can only be used with a ComparisonOperator for Attribute: {name}"
        )
    exists = c.get("Exists")
    if exists is not False and not has_value:
        shown = "null" if exists is None else "true"
        raise bad_parameter(f"Value must be provided when Exists is {shown} for Attribute: {name}")
    if exists is False and has_value:
        raise bad_parameter(f"Value cannot be used when Exists is false for Attribute: {name}")
    if exists is False:
        return [name, "NULL", []]
    check(c["Value"])
    return [name, "EQ", [c["Value"]]]


def _expected_comparison(name: str, c: dict[str, Any], has_list: bool, has_value: bool) -> Term:
    op = c["ComparisonOperator"]
    if "Exists" in c:
        raise bad_parameter(
            f"Exists and ComparisonOperator cannot be used together for Attribute: {name}"
        )
    if op not in ("NULL", "NOT_NULL") and not has_list and not has_value:
        raise bad_parameter(
            f"Value or AttributeValueList must be used with ComparisonOperator: {op}"
            f" for Attribute: {name}"
        )
    operands = c.get("AttributeValueList") or ([c["Value"]] if has_value else [])
    _check_count(op, len(operands))
    for value in operands:
        check(value)
    _check_types(op, operands)
    return [name, op, operands]


def update_actions(updates: dict[str, Any]) -> list[list[Any]]:
    """``AttributeUpdates`` as ``[attribute, action, value or None]``, checked."""
    out = []
    for name, u in updates.items():
        check_name(name)
        value, action = u.get("Value"), u.get("Action", "PUT")
        if value is not None:
            check(value)
        if value is None and action != "DELETE":
            raise bad_parameter(
                "Only DELETE action is allowed when no attribute value is specified"
            )
        if value is not None and action == "DELETE" and type_of(value) not in ("SS", "NS", "BS"):
            raise bad_parameter(
                f"DELETE action with value is not supported for the type {type_of(value)}"
            )
        if action == "ADD" and type_of(value) not in ("L", "SS", "NS", "BS", "N"):
            raise bad_parameter(f"ADD action is not supported for the type {type_of(value)}")
        out.append([name, action, value])
    return out
