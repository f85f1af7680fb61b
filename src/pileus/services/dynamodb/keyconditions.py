"""Key conditions: from an expression or ``KeyConditions`` to a partition and a span of its keys."""

from __future__ import annotations

from functools import lru_cache

from pileus.services.dynamodb.addresses import Span, index_span, key_bytes, span
from pileus.services.dynamodb.expressions.conditions import Condition
from pileus.services.dynamodb.expressions.grammar import Node
from pileus.services.dynamodb.faults import bad_parameter, invalid
from pileus.services.dynamodb.legacy import Term
from pileus.services.dynamodb.schema import EMPTY, MISMATCH, Index, Table, joined
from pileus.services.dynamodb.values import Item, Value
from pileus.state import keys

OPERATORS = {"=": "EQ", "<": "LT", "<=": "LE", ">": "GT", ">=": "GE"}
MIRROR = {"EQ": "EQ", "LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE"}
UNINDEXABLE = frozenset({"NULL", "NOT_NULL", "NE", "CONTAINS", "NOT_CONTAINS", "IN"})
KeyTerms = dict[str, tuple[str, list[Value]]]
INVALID = "Invalid condition in KeyConditionExpression: "


def expression_terms(condition: Condition, values: dict[str, Value]) -> list[Term]:
    """The terms of a KeyConditionExpression; ``AwsError`` for what keys cannot be asked."""
    return [
        [name, operator, [values[v] for v in operands]]
        for name, operator, operands in shape_of(condition)
    ]


@lru_cache(maxsize=1024)
def shape_of(condition: Condition) -> list[Term]:
    """Terms with the names of their values: the same for every request with this expression."""
    terms: list[Term] = []
    _collect(condition.tree, terms)
    return terms


def _collect(node: Node, terms: list[Term]) -> None:
    kind = node[0]
    if kind in ("or", "not", "in") or (kind == "cmp" and node[1] == "<>"):
        shown = node[1] if kind == "cmp" else kind.upper()
        raise invalid(f"Invalid operator used in KeyConditionExpression: {shown}")
    if kind == "and":
        for part in node[1]:
            _collect(part, terms)
        return
    if kind == "call" and node[1] != "begins_with":
        raise invalid(f"Invalid operator used in KeyConditionExpression: {node[1]}")
    operator, operands = _shape(node)
    if operator in ("BETWEEN", "BEGINS_WITH") and operands[0][0] != "path":
        word = "BETWEEN" if operator == "BETWEEN" else "begins_with"
        raise invalid(f"{INVALID}{word} operator must have the key attribute as its first operand")
    name = _attribute(operands)
    if any(t[0] == name for t in terms):
        raise invalid("KeyConditionExpressions must only contain one condition per key")
    if operands[0][0] != "path":
        operator = MIRROR[operator]
    terms.append([name, operator, [n[1] for n in operands if n[0] == "value"]])


def _shape(node: Node) -> tuple[str, list[Node]]:
    if node[0] == "cmp":
        return OPERATORS[node[1]], [node[2], node[3]]
    if node[0] == "between":
        return "BETWEEN", list(node[1:])
    return "BEGINS_WITH", list(node[2])


def _attribute(operands: list[Node]) -> str:
    name = ""
    for node in operands:
        if node[0] == "call":
            raise invalid("KeyConditionExpressions cannot contain nested operations")
        if node[0] != "path":
            continue
        if name:
            raise invalid(f"{INVALID}Multiple attribute names used in one condition")
        if len(node[1]) > 1:
            raise invalid("KeyConditionExpressions cannot have conditions on nested attributes")
        name = node[1][0]
    if not name:
        raise invalid(f"{INVALID}No key attribute specified")
    return name


# -- against the schema ---------------------------------------------------------------------------


class KeyQuery:
    """What a query asks of its keys: the partition, and a condition on the range key."""

    def __init__(self, table: Table, index: Index | None, terms: list[Term]) -> None:
        self.table = table
        self.index = index
        self.terms: KeyTerms = {name: (op, operands) for name, op, operands in terms}
        self.hash = index.hash if index else table.key_attributes[:1]
        self.range = index.range if index else table.key_attributes[1:]

    def check(self, start: Item | None) -> None:
        """Every hash attribute equal, range attributes left to right, types as declared; key by
        key, the starting key's part first."""
        schema = self.hash + self.range
        unmet, ended = "", False
        for position, (name, kind) in enumerate(schema):
            is_hash = position < len(self.hash)
            if start is not None:
                _check_start(start, name, kind)
            if len(schema) == 1 and len(self.terms) > 1:
                raise invalid("Query key condition not supported")
            term = self.terms.get(name)
            if term is None:
                if is_hash or (not unmet and self._extra(schema)):
                    raise invalid(f"Query condition missed key schema element: {name}")
                unmet = name
                continue
            if unmet:
                raise invalid(f"Query condition missed key schema element: {unmet}")
            _check_term(term, kind, is_hash)
            if ended:  # the last condition alone may be other than equality
                raise invalid("Query key condition not supported")
            ended = term[0] != "EQ"

    def _extra(self, schema: tuple[tuple[str, str], ...]) -> bool:
        """Are there conditions on attributes that are no keys?"""
        names = {n for n, _ in schema}
        return any(n not in names for n in self.terms)

    def bytes_of(self, name: str, kind: str) -> list[bytes]:
        """Key bytes of the operands on ``name``; empty and oversize ones are refused."""
        out = []
        for value in self.terms[name][1]:
            if value[kind] == "":
                noun = "string" if kind == "S" else "binary"
                raise invalid(
                    f"{EMPTY}The AttributeValue for a key"
                    f" attribute cannot contain an empty {noun} value. Key: {name}"
                )
            data = key_bytes(kind, value[kind])
            limit = 2048 if (name, kind) in self.hash else 1024
            if len(data) > limit and kind != "N":
                raise bad_parameter(
                    "Size of hashkey has exceeded the maximum size limit of2048 bytes"
                    if limit == 2048
                    else "Aggregated size of all range keys has exceeded the size limit of 1024"
                    " bytes"
                )
            out.append(data)
        return out

    def span(self) -> Span:
        """The row keys asked for."""
        partition = joined([self.bytes_of(n, k)[0] for n, k in self.hash])
        rows = self.index.rows if self.index else self.table.rows
        prefix = keys.partition_prefix(rows, partition)
        asked = [(n, k) for n, k in self.range if n in self.terms]
        if not self.index:
            if not asked:
                return span(prefix, "", [])
            name, kind = asked[0]
            return span(prefix, self.terms[name][0], self.bytes_of(name, kind))
        if not asked:
            return index_span(prefix, b"", "", [], True)
        lead = b"".join(keys.escape(self.bytes_of(n, k)[0]) for n, k in asked[:-1])
        name, kind = asked[-1]
        final = len(asked) == len(self.range)
        return index_span(prefix, lead, self.terms[name][0], self.bytes_of(name, kind), final)


def _check_start(start: Item, name: str, kind: str) -> None:
    if name not in start:
        raise invalid("The provided starting key is invalid")
    if kind not in start[name]:
        raise invalid(MISMATCH)


def _check_term(term: tuple[str, list[Value]], kind: str, is_hash: bool) -> None:
    operator, operands = term
    if operator in UNINDEXABLE:
        raise invalid("Attempted conditional constraint is not an indexable operation")
    if any(kind not in v for v in operands):
        raise bad_parameter("Condition parameter type does not match schema type")
    if is_hash and operator != "EQ":
        raise invalid("Query key condition not supported")
