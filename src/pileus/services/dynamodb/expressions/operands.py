"""What is wrong with the values a condition's operands stand for, in the service's words."""

from __future__ import annotations

from collections.abc import Callable

from pileus.services.dynamodb.expressions.grammar import Node
from pileus.services.dynamodb.values import TYPES, Value, order, type_of

Values = dict[str, Value]
Check = Callable[[Values], str]
SIZED = ("S", "B", "SS", "NS", "BS", "L", "M")


def undefined(name: str) -> str:
    return (
        f"An expression attribute value used in expression is not defined; attribute value: {name}"
    )


def _literal(node: Node, values: Values) -> Value | None:
    return values.get(node[1]) if node[0] == "value" else None


def wrong_type(name: str, kind: str) -> str:
    return (
        "Incorrect operand type for operator or function; operator or function:"
        f" {name}, operand type: {kind}"
    )


def type_check(name: str, node: Node, allowed: tuple[str, ...]) -> Check:
    def check(values: Values) -> str:
        if node[0] == "call":
            kind = "N" if node[1] == "size" else "BOOL"
        else:
            value = _literal(node, values)
            if value is None:
                return ""
            kind = type_of(value)
        return "" if kind in allowed else wrong_type(name, kind)

    return check


def ordered_check(sign: str, node: Node) -> Check:
    def check(values: Values) -> str:
        value = _literal(node, values)
        if value is None or type_of(value) in ("S", "N", "B"):
            return ""
        return wrong_type(sign, type_of(value))

    return check


def attribute_type_check(node: Node) -> Check:
    def check(values: Values) -> str:
        value = _literal(node, values)
        if value is None and node[0] == "value":
            return ""  # undefined: another check says so
        if node[0] == "call":
            return wrong_type("attribute_type", "N" if node[1] == "size" else "BOOL")
        if value is None:
            return wrong_type("attribute_type", "{NS,SS,L,BS,N,M,B,BOOL,NULL,S}")
        kind = type_of(value)
        if kind != "S":
            return wrong_type("attribute_type", kind)
        if value["S"] in TYPES:
            return ""
        return (
            f"Invalid attribute type name found; type: {value['S']},"
            " valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
        )

    return check


def between_check(low: Node, high: Node) -> Check:
    def check(values: Values) -> str:
        a, b = _literal(low, values), _literal(high, values)
        if a is None or b is None:
            return ""
        shown = (
            f"lower bound operand: AttributeValue: {_shown(a)},"
            f" upper bound operand: AttributeValue: {_shown(b)}"
        )
        if type_of(a) != type_of(b):
            return (
                "The BETWEEN operator requires same data type for lower and upper bounds; " + shown
            )
        if order(a, b) == 1:
            return (
                "The BETWEEN operator requires upper bound to be greater than or equal to lower"
                " bound; " + shown
            )
        return ""

    return check


def _shown(value: Value) -> str:
    kind = type_of(value)
    return f"{{{kind}:{value[kind]}}}"
