"""Conditions compiled to functions of (item, values), with the service's checks.

Faults come in the service's order: parentheses, unknown function, misused function, reserved
word, then condition by condition: undefined names and values, operand count, equal operands,
operand types.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pileus.services.dynamodb.expressions.grammar import Node, condition
from pileus.services.dynamodb.expressions.operands import (
    SIZED,
    Check,
    Values,
    attribute_type_check,
    between_check,
    ordered_check,
    type_check,
    undefined,
)
from pileus.services.dynamodb.expressions.paths import Names, Path, follow, show
from pileus.services.dynamodb.expressions.strictness import strict_fault
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.values import (
    Item,
    Value,
    begins_with,
    contains,
    equal,
    length,
    order,
)

Getter = Callable[[Item, Values], "Value | None"]
Test = Callable[[Item, Values], bool]

ARITY = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
    "size": 1,
}


class Condition:
    """A compiled condition. ``test(item, values)`` decides; ``check(values)`` raises ``Fault``."""

    __slots__ = ("_leaves", "heads", "names", "nested", "strict", "test", "tree", "values")

    def __init__(self, text: str, names: dict[str, str]) -> None:
        tree, parens = condition(text)
        build = _Build(names)
        test = build.test(tree)
        build.raise_static(parens)
        self.test = test
        self.tree = build.resolved(tree)
        self.names = frozenset(build.names.used)
        self.values = frozenset(build.values)
        self.heads = frozenset(build.names.heads)
        self.nested = frozenset(build.names.nested)
        self.strict = strict_fault(text)  # for the door alone
        self._leaves = [leaf for leaf in build.leaves if leaf]

    def check(self, values: Values) -> None:
        """What depends on the values: undefined ones, operand types."""
        if self.strict is not None:
            raise self.strict
        for leaf in self._leaves:
            found = [(rank, text) for rank, f in leaf if (text := f(values))]
            if found:
                raise Fault(min(found, key=lambda pair: pair[0])[1])


@lru_cache(maxsize=2048)
def _cached(text: str, names: tuple[tuple[str, str], ...]) -> Condition:
    return Condition(text, dict(names))


def compile_condition(text: str, names: dict[str, str] | None) -> Condition:
    """The compiled condition; ``Fault`` when it is malformed."""
    return _cached(text, tuple(names.items()) if names else ())


def _fixed(text: str) -> Check:
    return lambda values: text


class _Build:
    """One compilation: collects faults while it makes closures."""

    def __init__(self, names: dict[str, str]) -> None:
        self.names = Names(names)
        self.values: set[str] = set()
        self.leaves: list[list[tuple[int, Check]]] = []
        self._leaf: list[tuple[int, Check]] = []
        self._unknown = ""
        self._misused = ""

    def raise_static(self, parens: str) -> None:
        for text in (parens, self._unknown, self._misused, self.names.reserved):
            if text:
                raise Fault(text)

    def resolved(self, node: Node) -> Node:
        """The tree with aliases replaced (key conditions read it)."""
        kind = node[0]
        if kind == "path":
            return ("path", self.names.path(node[1]))
        if kind == "value":
            return node
        return tuple(self._resolved_part(part) for part in node)

    def _resolved_part(self, part: Any) -> Any:
        if not isinstance(part, tuple):
            return part
        if part and isinstance(part[0], str):
            return self.resolved(part)
        return tuple(self.resolved(p) for p in part)

    # -- conditions ------------------------------------------------------------

    def test(self, node: Node) -> Test:
        kind = node[0]
        if kind in ("and", "or"):
            for part in node[1]:
                self._not_size(part)
            tests = tuple(self.test(part) for part in node[1])
            return _all(tests) if kind == "and" else _any(tests)
        if kind == "not":
            self._not_size(node[1])
            inner = self.test(node[1])
            return lambda item, values: not inner(item, values)
        self._leaf = []
        self._not_size(node)
        made = self._leaf_test(node)
        self.leaves.append(self._leaf)
        return made

    def _not_size(self, node: Node) -> None:
        if node[0] == "call" and node[1] == "size":
            self._misuse("size")

    def _misuse(self, name: str) -> None:
        self._misused = self._misused or (
            f"The function is not allowed to be used this way in an expression; function: {name}"
        )

    def _leaf_test(self, node: Node) -> Test:
        if node[0] == "cmp":
            return self._compare(node[1], node[2], node[3])
        if node[0] == "between":
            x, low, high = (self._operand(n) for n in node[1:])
            self._leaf += [(3, ordered_check("BETWEEN", n)) for n in node[1:] if n[0] == "value"]
            self._leaf.append((3, between_check(node[2], node[3])))
            return _between(x, low, high)
        if node[0] == "in":
            x = self._operand(node[1])
            return _in(x, tuple(self._operand(n) for n in node[2]))
        return self._function(node)

    def _compare(self, sign: str, a: Node, b: Node) -> Test:
        x, y = self._operand(a), self._operand(b)
        self._distinct(sign, a, b)
        if sign in ("<", "<=", ">", ">="):
            self._leaf += [(3, ordered_check(sign, n)) for n in (a, b) if n[0] == "value"]
        return _COMPARE[sign](x, y)

    def _distinct(self, name: str, a: Node, b: Node) -> None:
        if a[0] == "path" and b[0] == "path":
            one, two = self.names.path(a[1]), self.names.path(b[1])
            if one == two:
                self._leaf.append(
                    (
                        2,
                        _fixed(
                            "The first operand must be distinct from the remaining operands for"
                            f" this operator or function; operator: {name}, first operand:"
                            f" {show(one)}"
                        ),
                    )
                )

    # -- operands ------------------------------------------------------------

    def _operand(self, node: Node) -> Getter:
        if node[0] == "path":
            known = self.names.undefined
            path = self.names.path(node[1])
            if self.names.undefined != known:
                self._leaf.append((0, _fixed(self.names.undefined)))
            return _getter(path)
        if node[0] == "value":
            return self._value(node[1])
        if node[1] != "size":
            if node[1] in ARITY:
                self._misuse(node[1])
            else:
                self._unknown_function(node[1])
            return lambda item, values: None
        return self._size(node)

    def _value(self, name: str) -> Getter:
        self.values.add(name)
        self._leaf.append((0, lambda values: "" if name in values else undefined(name)))
        return lambda item, values: values[name]

    def _size(self, node: Node) -> Getter:
        args = [self._operand(a) for a in node[2]]
        if not self._arity("size", args):
            return lambda item, values: None
        self._leaf.append((3, type_check("size", node[2][0], SIZED)))
        get = args[0]

        def size(item: Item, values: Values) -> Value | None:
            n = length(get(item, values))
            return None if n is None else {"N": str(n)}

        return size

    def _unknown_function(self, name: str) -> None:
        text = f"Invalid function name; function: {name}"
        if name in ("if_not_exists", "list_append"):
            text = f"The function is not allowed in a condition expression; function: {name}"
        self._unknown = self._unknown or text

    def _arity(self, name: str, args: list[Getter]) -> bool:
        if len(args) == ARITY[name]:
            return True
        self._leaf.append(
            (
                1,
                _fixed(
                    "Incorrect number of operands for operator or function; operator or function:"
                    f" {name}, number of operands: {len(args)}"
                ),
            )
        )
        return False

    def _function(self, node: Node) -> Test:
        name, args = node[1], node[2]
        if name not in ARITY:
            self._unknown_function(name)
            return lambda item, values: False
        gets = [self._operand(a) for a in args]
        if name == "size" or not self._arity(name, gets):
            return lambda item, values: False
        if name in ("attribute_exists", "attribute_not_exists"):
            if args[0][0] != "path":
                self._leaf.append(
                    (
                        3,
                        _fixed(
                            "Operator or function requires a document path; operator or function:"
                            f" {name}"
                        ),
                    )
                )
            get = gets[0]
            if name == "attribute_exists":
                return lambda item, values: get(item, values) is not None
            return lambda item, values: get(item, values) is None
        self._distinct(name, args[0], args[1])
        x, y = gets
        if name == "begins_with":
            self._leaf += [(3, type_check(name, a, ("S", "B"))) for a in args]
            return lambda item, values: begins_with(x(item, values), y(item, values))
        if name == "contains":
            return lambda item, values: contains(x(item, values), y(item, values))
        self._leaf.append((3, attribute_type_check(args[1])))
        return lambda item, values: _is_type(x(item, values), y(item, values))


# -- closures ------------------------------------------------------------


def _all(tests: tuple[Test, ...]) -> Test:
    return lambda item, values: all(t(item, values) for t in tests)


def _any(tests: tuple[Test, ...]) -> Test:
    return lambda item, values: any(t(item, values) for t in tests)


def _getter(path: Path) -> Getter:
    if len(path) == 1:
        name: Any = path[0]
        return lambda item, values: item.get(name)
    return lambda item, values: follow(path, item)


def _differs(a: Value | None, b: Value | None) -> bool:
    # A missing operand differs from every value, and from another missing one.
    return not equal(a, b)


def _ordering(accept: frozenset[int]) -> Callable[[Getter, Getter], Test]:
    def make(x: Getter, y: Getter) -> Test:
        return lambda item, values: order(x(item, values), y(item, values)) in accept

    return make


_COMPARE: dict[str, Callable[[Getter, Getter], Test]] = {
    "=": lambda x, y: lambda item, values: equal(x(item, values), y(item, values)),
    "<>": lambda x, y: lambda item, values: _differs(x(item, values), y(item, values)),
    "<": _ordering(frozenset({-1})),
    "<=": _ordering(frozenset({-1, 0})),
    ">": _ordering(frozenset({1})),
    ">=": _ordering(frozenset({0, 1})),
}


def _between(x: Getter, low: Getter, high: Getter) -> Test:
    def between(item: Item, values: Values) -> bool:
        v = x(item, values)
        return order(v, low(item, values)) in (0, 1) and order(v, high(item, values)) in (-1, 0)

    return between


def _in(x: Getter, options: tuple[Getter, ...]) -> Test:
    def among(item: Item, values: Values) -> bool:
        v = x(item, values)
        return v is not None and any(equal(v, o(item, values)) for o in options)

    return among


def _is_type(a: Value | None, b: Value | None) -> bool:
    return a is not None and b is not None and b.get("S") in a
