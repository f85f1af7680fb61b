"""Update expressions compiled to steps that change an item (API reference, UpdateItem).

All right-hand sides are evaluated against the item as it was. Then SET and the rest act in the
order written; removed list members leave together at the end, so that indexes mean the old list.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from pileus.services.dynamodb import numbers
from pileus.services.dynamodb.expressions.grammar import Node, update
from pileus.services.dynamodb.expressions.paths import Names, Path, follow, overlap_fault
from pileus.services.dynamodb.expressions.strictness import strict_fault
from pileus.services.dynamodb.expressions.tokens import Fault
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.values import Item, Value, type_of

Values = dict[str, Value]
Getter = Callable[[Item, Values], Value]
WRONG_TYPE = "An operand in the update expression has an incorrect data type"
MISSING = "The provided expression refers to an attribute that does not exist in the item"
BAD_PATH = "The document path provided in the update expression is invalid for update"
_LONG = {
    "S": "STRING",
    "N": "NUMBER",
    "B": "BINARY",
    "NULL": "NULL",
    "BOOL": "BOOLEAN",
    "L": "LIST",
    "M": "MAP",
}


class Step:
    """One clause: what to do (``set``, ``remove``, ``add``, ``delete``), where, with what."""

    __slots__ = ("get", "kind", "literal", "path", "result")

    def __init__(
        self, kind: str, path: Path, get: Getter | None, literal: str = "", result: str = ""
    ) -> None:
        self.kind = kind
        self.path = path
        self.get = get
        self.literal = literal  # the value's name, when the operand is one
        self.result = result  # the type it will have, when that is known beforehand


class Update:
    """A compiled update. ``apply(item, values)`` changes ``item`` in place."""

    __slots__ = (
        *("_checks", "_overlap", "_sets", "_strict", "heads", "names", "nested", "paths"),
        *("steps", "takes_only", "value_set", "values"),
    )

    def __init__(self, text: str, names: dict[str, str]) -> None:
        build = _Build(names)
        self.steps = build.steps(update(text))
        build.raise_static()
        self.paths = [s.path for s in self.steps]
        self.names = frozenset(build.names.used)
        self.values = tuple(dict.fromkeys(build.values))
        self.value_set = frozenset(self.values)
        self.heads = frozenset(str(p[0]) for p in self.paths)
        self.nested = frozenset(build.names.nested)
        # Nothing is set or added: where there is no item there is nothing to do.
        self.takes_only = all(s.kind in ("remove", "delete") for s in self.steps)
        self._strict = strict_fault(text)
        self._overlap = overlap_fault(self.paths)
        # The commonest: attributes are set, none inside another.
        plain = all(s.kind == "set" and len(s.path) == 1 for s in self.steps)
        self._sets = [(str(s.path[0]), s.get) for s in self.steps if s.get] if plain else None
        self._checks = sorted(build.checks, key=lambda c: c[0])

    def check(self, values: Values) -> None:
        """Undefined values, overlapping paths, operand types: ``Fault``."""
        if self._strict is not None:
            raise self._strict
        for name in self.values:
            if name not in values:
                raise Fault(
                    "An expression attribute value used in expression is not defined;"
                    f" attribute value: {name}"
                )
        if self._overlap:
            raise self._overlap
        for _, check in self._checks:
            text = check(values)
            if text:
                raise Fault(text)

    def apply(self, item: Item, values: Values) -> None:
        """Change ``item``; ``AwsError`` ValidationException when an operand does not fit it."""
        if self._sets is not None:
            item.update([(name, get(item, values)) for name, get in self._sets])
            return
        operands = [s.get(item, values) if s.get else None for s in self.steps]
        later: Later = []
        for step, operand in zip(self.steps, operands, strict=True):
            _act(step, operand, item, later)
        _finish(later)


@lru_cache(maxsize=1024)
def _cached(text: str, names: tuple[tuple[str, str], ...]) -> Update:
    return Update(text, dict(names))


def compile_update(text: str, names: dict[str, str] | None) -> Update:
    """The compiled update; ``Fault`` when it is malformed."""
    return _cached(text, tuple(names.items()) if names else ())


# -- compiling ------------------------------------------------------------------------------------


class _Build:
    def __init__(self, names: dict[str, str]) -> None:
        self.names = Names(names)
        self.values: list[str] = []
        self.checks: list[tuple[int, Callable[[Values], str]]] = []
        self._unknown = ""
        self._section = ""

    def raise_static(self) -> None:
        for text in (self.names.reserved, self._unknown, self._section, self.names.undefined):
            if text:
                raise Fault(text)

    def steps(self, sections: tuple[Node, ...]) -> list[Step]:
        seen: set[str] = set()
        out = []
        for word, clauses in sections:
            if word in seen and not self._section:
                self._section = (
                    f'The "{word}" section can only be used once in an update expression;'
                )
            seen.add(word)
            out += [self._step(word, path, operand) for path, operand in clauses]
        return out

    def _step(self, word: str, path: Node, operand: Node | None) -> Step:
        where = self.names.path(path[1])
        if operand is None:
            return Step("remove", where, None)
        literal = operand[1] if operand[0] == "value" else ""
        if word in ("ADD", "DELETE"):
            self.checks.append((0, _operand_check(word, literal)))
        get = self._operand(operand)
        return Step(word.lower(), where, get, literal, _result_type(operand))

    def _operand(self, node: Node) -> Getter:
        if node[0] == "path":
            return _path_getter(self.names.path(node[1]))
        if node[0] == "value":
            name = node[1]
            self.values.append(name)
            return lambda item, values: values[name]
        if node[0] == "sum":
            self.checks += [(1, _literal_check(node[1], a, "N")) for a in node[2:4]]
            return _sum(node[1], self._operand(node[2]), self._operand(node[3]))
        return self._function(node)

    def _function(self, node: Node) -> Getter:
        name, args = node[1], node[2]
        gets = [self._operand(a) for a in args]
        if name not in ("if_not_exists", "list_append"):
            self._unknown = self._unknown or f"Invalid function name; function: {name}"
            return gets[0]
        if len(gets) != 2:
            text = (
                "Incorrect number of operands for operator or function; operator or function:"
                f" {name}, number of operands: {len(gets)}"
            )
            self.checks.append((1, lambda values: text))
            return gets[0]
        if name == "list_append":
            if any(a[0] == "call" and a[1] == name for a in args):
                nested = (
                    "The function is not allowed to be used this way in an expression;"
                    f" function: {name}"
                )
                self.checks.append((0, lambda values: nested))
            self.checks += [(1, _literal_check(name, a, "L")) for a in args]
            return _append(gets[0], gets[1])
        if args[0][0] != "path":
            text = f"Operator or function requires a document path; operator or function: {name}"
            self.checks.append((1, lambda values: text))
            return gets[0]
        path = self.names.path(args[0][1])
        fallback = gets[1]

        def first(item: Item, values: Values) -> Value:
            found = follow(path, item)
            return fallback(item, values) if found is None else _copied(found)

        return first


def _result_type(node: Node) -> str:
    """The type a SET operand must have, where the text alone tells."""
    if node[0] == "sum":
        return "N"
    if node[0] == "call":
        return "L" if node[1] == "list_append" else ""
    return ""


def _operand_check(word: str, literal: str) -> Callable[[Values], str]:
    def check(values: Values) -> str:
        kind = type_of(values[literal])
        if kind not in _LONG or (word == "ADD" and kind == "N"):
            return ""
        return (
            f"Incorrect operand type for operator or function; operator: {word},"
            f" operand type: {_LONG[kind]}"
        )

    return check


def _literal_check(name: str, node: Node, kind: str) -> Callable[[Values], str]:
    def check(values: Values) -> str:
        if node[0] != "value" or kind in values[node[1]]:
            return ""
        return (
            "Incorrect operand type for operator or function; operator or function:"
            f" {name}, operand type: {type_of(values[node[1]])}"
        )

    return check


def _copied(value: Value) -> Value:
    """A value of its own: containers must not be shared between two places of an item."""
    return copy.deepcopy(value) if "M" in value or "L" in value else value


def _path_getter(path: Path) -> Getter:
    def get(item: Item, values: Values) -> Value:
        value = follow(path, item)
        if value is None:
            raise invalid(MISSING)
        return _copied(value)

    return get


def _sum(sign: str, a: Getter, b: Getter) -> Getter:
    compute = numbers.add if sign == "+" else numbers.subtract

    def total(item: Item, values: Values) -> Value:
        x, y = a(item, values).get("N"), b(item, values).get("N")
        if x is None or y is None:
            raise invalid(WRONG_TYPE)
        return {"N": compute(x, y)}

    return total


def _append(a: Getter, b: Getter) -> Getter:
    def joined(item: Item, values: Values) -> Value:
        x, y = a(item, values).get("L"), b(item, values).get("L")
        if x is None or y is None:
            raise invalid(WRONG_TYPE)
        return {"L": x + y}

    return joined


# -- acting ---------------------------------------------------------------------------------------


# (list, index, value or None): members to be appended in index order, or to be removed.
Later = list[tuple[list[Any], int, "Value | None"]]


def _finish(later: Later) -> None:
    """Removed members go, highest first; then members set beyond the end close up behind it."""
    for members, index, value in sorted(later, key=lambda x: x[1], reverse=True):
        if value is None:
            del members[index]
    for members, _, value in sorted(later, key=lambda x: x[1]):
        if value is not None:
            members.append(value)


def _act(step: Step, operand: Value | None, item: Item, later: Later) -> None:
    holder: Any = item
    last = step.path[-1]
    if len(step.path) > 1:
        parent = follow(step.path[:-1], item)
        holder = None if parent is None else parent.get("L" if isinstance(last, int) else "M")
        if holder is None:
            raise invalid(BAD_PATH)
    if step.kind == "set":
        _assign(holder, last, operand, later)
        return
    present = _present(holder, last)
    if step.kind == "remove":
        if present is not None:
            _remove(holder, last, later)
    elif step.kind == "add":
        _assign(holder, last, added(present, operand or {}), later)
    elif present is not None:
        left = taken(present, operand or {})
        if left is None:
            _remove(holder, last, later)
        else:
            _assign(holder, last, left, later)


def _present(holder: Any, last: Any) -> Value | None:
    if isinstance(last, int):
        return holder[last] if last < len(holder) else None
    return holder.get(last)  # type: ignore[no-any-return]


def _assign(holder: Any, last: Any, value: Any, later: Later) -> None:
    if isinstance(last, int) and last >= len(holder):
        later.append((holder, last, value))
    else:
        holder[last] = value


def _remove(holder: Any, last: Any, later: Later) -> None:
    if isinstance(last, int):
        later.append((holder, last, None))
    else:
        del holder[last]


def added(present: Value | None, operand: Value, message: str = WRONG_TYPE) -> Value:
    """ADD: a number's sum, or a set's union."""
    kind = type_of(operand)
    if present is None:
        return _copied(operand)
    if kind not in present:
        raise invalid(message)
    if kind == "N":
        return {"N": numbers.add(present["N"], operand["N"])}
    if kind == "L":
        return {"L": present["L"] + operand["L"]}
    return {kind: present[kind] + [x for x in operand[kind] if x not in present[kind]]}


def taken(present: Value, operand: Value, message: str = WRONG_TYPE) -> Value | None:
    """DELETE: a set's difference; None when nothing is left."""
    kind = type_of(operand)
    if kind not in present:
        raise invalid(message)
    left = [x for x in present[kind] if x not in operand[kind]]
    return {kind: left} if left else None
