"""Metric math: the text of an expression becomes a tree.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
Operators by rising strength: OR/||, AND/&&, comparisons, + -, * /, ^, unary minus.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from pileus.services.cloudwatch import faults

LENGTH_MAX, DEPTH_MAX = 2048, 50
_TOKEN = re.compile(
    r"\s*(?:(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)|([A-Za-z_][A-Za-z0-9_]*)|(\"[^\"]*\"|'[^']*')"
    r"|(==|!=|<=|>=|&&|\|\||[-+*/^<>(),\[\]]))"
)
_LEVELS: tuple[frozenset[str], ...] = (
    frozenset({"OR", "||"}),
    frozenset({"AND", "&&"}),
    frozenset({"==", "!=", "<", ">", "<=", ">="}),
    frozenset({"+", "-"}),
    frozenset({"*", "/"}),
    frozenset({"^"}),
)


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Text:
    value: str


@dataclass(frozen=True, slots=True)
class Name:
    """Another query's id, or a word of a function (REPEAT)."""

    value: str


@dataclass(frozen=True, slots=True)
class Operation:
    """``sign`` on one or two operands."""

    sign: str
    operands: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Function:
    name: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Array:
    members: tuple[Node, ...]


Node = Number | Text | Name | Operation | Function | Array


def parse(text: str) -> Node:
    """The tree of an expression; ``ValidationError`` where it is none."""
    if len(text) > LENGTH_MAX:
        raise _wrong(text)
    return _Parser(text).whole()


def names(node: Node) -> set[str]:
    """Every name in the tree."""
    if isinstance(node, Name):
        return {node.value}
    parts: tuple[Node, ...] = ()
    if isinstance(node, Operation):
        parts = node.operands
    elif isinstance(node, Function):
        parts = node.arguments
    elif isinstance(node, Array):
        parts = node.members
    return set().union(*map(names, parts))


def _wrong(text: str) -> Exception:
    return faults.validation(f"Error in expression {text[:100]!r}: it cannot be parsed.")


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens: list[tuple[int, str]] = []
        at = 0
        while text[at:].strip():
            found = _TOKEN.match(text, at)
            if found is None or found.lastindex is None:
                raise _wrong(text)
            self._tokens.append((found.lastindex, found[found.lastindex]))
            at = found.end()
        self._at = 0
        self._depth = 0

    def whole(self) -> Node:
        node = self._level(0)
        if self._at != len(self._tokens):
            raise _wrong(self._text)
        return node

    def _peek(self) -> str:
        return self._tokens[self._at][1] if self._at < len(self._tokens) else ""

    def _take(self, wanted: str = "") -> tuple[int, str]:
        if self._at >= len(self._tokens) or wanted not in ("", self._tokens[self._at][1]):
            raise _wrong(self._text)
        self._at += 1
        return self._tokens[self._at - 1]

    def _level(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._unary()
        node = self._level(level + 1)
        while self._peek() in _LEVELS[level]:
            _, sign = self._take()
            node = Operation(
                {"OR": "||", "AND": "&&"}.get(sign, sign), (node, self._level(level + 1))
            )
        return node

    def _unary(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _wrong(self._text)
        if self._peek() in ("-", "+"):
            _, sign = self._take()
            inner = self._unary()
            node: Node = Operation("-", (inner,)) if sign == "-" else inner
        else:
            node = self._atom()
        self._depth -= 1
        return node

    def _atom(self) -> Node:
        kind, token = self._take()
        if kind == 1:
            return Number(float(token))
        if kind == 3:
            return Text(token[1:-1])
        if kind == 2:
            if self._peek() != "(":
                return Name(token)
            self._take()
            return Function(token.upper(), self._list(")"))
        if token == "(":
            node = self._level(0)
            self._take(")")
            return node
        if token == "[":
            return Array(self._list("]"))
        raise _wrong(self._text)

    def _list(self, end: str) -> tuple[Node, ...]:
        members: list[Node] = []
        if self._peek() != end:
            members.append(self._level(0))
            while self._peek() == ",":
                self._take()
                members.append(self._level(0))
        self._take(end)
        return tuple(members)
