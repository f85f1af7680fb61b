"""Values of a statement: literals become attribute values, parameters are taken as given.

Developer Guide, "PartiQL data types for DynamoDB". A fault names where it lies: ``root``,
``root.x``, ``root[1]``.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.partiql.syntax import (
    Call,
    Is,
    Literal,
    Node,
    Op,
    Parameter,
    Sequence,
    Struct,
)
from pileus.services.dynamodb.values import Value, check

LEVELS_MAX = 31
KINDS = {"Path": "VariableReference", "Is": "IsType", "Select": "Select", "Wildcard": "Wildcard"}


def check_parameters(parameters: list[Value]) -> None:
    """Parameters are judged, and made canonical in place, before the statement is read."""
    for value in parameters:
        check(value)


def is_value(node: Node) -> bool:
    """Does ``node`` stand for a value, whatever the item?"""
    if isinstance(node, Literal):
        return node.kind != "MISSING"
    return isinstance(node, Parameter | Struct) or (
        isinstance(node, Sequence) and node.kind != "paren"
    )


def value_of(node: Node, parameters: list[Value]) -> Value:
    """The attribute value of ``node``; ``AwsError`` ValidationException when it has none."""
    if isinstance(node, Parameter):
        if node.number >= len(parameters):
            raise invalid("Number of parameters in request and statement don't match.")
        return parameters[node.number]
    return _constant(node, "root", 0)


def _constant(node: Node, where: str, level: int) -> Value:
    if level > LEVELS_MAX:
        raise invalid(f"Nesting Levels have exceeded supported limits under {where}")
    if isinstance(node, Literal) and node.kind != "MISSING":
        return _scalar(node, where)
    if isinstance(node, Struct):
        fields: dict[str, Any] = {}
        for name, part in node.fields:
            fields[name] = _constant(part, f"{where}.{name}", level + 1)
        return {"M": fields}
    if isinstance(node, Sequence) and node.kind == "list":
        parts = enumerate(node.items)
        return {"L": [_constant(p, f"{where}[{i}]", level + 1) for i, p in parts]}
    if isinstance(node, Sequence) and node.kind == "bag":
        return _bag(node, where)
    raise unsupported(node, where)


def unsupported(node: Node, where: str = "root") -> AwsError:
    """The error of a node that is no value."""
    name = type(node).__name__
    if isinstance(node, Call):
        name = node.name
    elif isinstance(node, Op):
        name = node.sign
    elif isinstance(node, Is):
        name = "is"
    return invalid(f"Unsupported data type: {KINDS.get(name, name)} under key {where} at"
                   f" {node.place}")  # fmt: skip


def _scalar(node: Literal, where: str) -> Value:
    if node.kind == "S":
        return {"S": node.text}
    if node.kind == "N":
        return {"N": _number(node.text, where)}
    return {"BOOL": node.text == "TRUE"} if node.kind == "BOOL" else {"NULL": True}


def _number(text: str, where: str) -> str:
    try:
        return numbers.canonical(text)
    except AwsError as error:
        raise invalid(f"{error.message} under {where}") from None


def _bag(node: Sequence, where: str) -> Value:
    """A set: of strings or of numbers, not empty, nothing twice."""
    if not node.items:
        raise invalid("Empty bags are not supported")
    kinds = {i.kind if isinstance(i, Literal) else "" for i in node.items}
    if kinds != {"S"} and kinds != {"N"}:
        raise invalid(
            "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags"
        )
    texts = [i.text for i in node.items if isinstance(i, Literal)]
    shown = ", ".join(texts)
    if kinds == {"S"}:
        if len(set(texts)) < len(texts):
            raise bad_parameter(f"Input collection [{shown}] contains duplicates.")
        return {"SS": texts}
    members = [_number(t, where) for t in texts]
    if len(set(members)) < len(members):
        raise bad_parameter(f"Input collection [{shown}] contains duplicates! under {where}")
    return {"NS": members}
