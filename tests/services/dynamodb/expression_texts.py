"""Random conditions, updates and items, and their texts as expressions and as PartiQL."""

from __future__ import annotations

import base64
import copy
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from tests.services.dynamodb.plain_model import at

Tree = tuple[Any, ...]
Path = tuple[str | int, ...]
KINDS = ("S", "N", "B", "SS", "NS", "BS", "M", "L", "NULL", "BOOL")
NUMBERS = ("0", "1", "-1", "2.5", "10", "100", "-0.003", "12345678901234567890.5")
TEXTS = ("", "a", "ab", "b", "é", "a'b", 'a"b')
BYTES = tuple(base64.b64encode(b).decode() for b in (b"", b"\x00", b"\x00\x01", b"\xff"))


def members(of: tuple[str, ...]) -> st.SearchStrategy[list[str]]:
    return st.lists(st.sampled_from(of), min_size=1, max_size=3, unique=True)


STRINGS = st.sampled_from(TEXTS).map(lambda x: {"S": x})
NUMERIC = st.sampled_from(NUMBERS).map(lambda x: {"N": x})
BINARY = st.sampled_from(BYTES).map(lambda x: {"B": x})
SETS = st.one_of(
    members(TEXTS[1:]).map(lambda x: {"SS": x}),
    members(NUMBERS).map(lambda x: {"NS": x}),
    members(BYTES[1:]).map(lambda x: {"BS": x}),
)
ORDERED = st.one_of(STRINGS, NUMERIC, BINARY)
FLAT: st.SearchStrategy[dict[str, Any]] = st.one_of(
    ORDERED, SETS, st.booleans().map(lambda x: {"BOOL": x}), st.just({"NULL": True})
)
VALUES: st.SearchStrategy[dict[str, Any]] = st.recursive(
    FLAT,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda x: {"L": x}),
        st.dictionaries(st.sampled_from("xy"), inner, max_size=2).map(lambda x: {"M": x}),
    ),
    max_leaves=5,
)
LISTS = st.lists(VALUES, max_size=3).map(lambda x: {"L": x})
MAPS = st.dictionaries(st.sampled_from("xy"), VALUES, max_size=2).map(lambda x: {"M": x})
LONG_LISTS = st.lists(FLAT, min_size=3, max_size=4).map(lambda x: {"L": x})
ITEMS = st.fixed_dictionaries(
    {"n": NUMERIC, "t": STRINGS, "k": LONG_LISTS, "s": SETS},
    optional={"a": VALUES, "b": FLAT, "m": MAPS, "l": LISTS},
)
PATHS: tuple[Path, ...] = (
    *(("a",), ("b",), ("n",), ("m",), ("l",), ("s",), ("nope",)),
    *(("t",), ("k", 1)),
    *(("m", "x"), ("m", "y", "x"), ("l", 0), ("l", 1, "x"), ("a", 0), ("a", "x")),
)
ANY_PATH = st.sampled_from(PATHS)


@st.composite
def comparisons(draw: st.DrawFn) -> Tree:
    sign = draw(st.sampled_from(("=", "<>", "<", "<=", ">", ">=")))
    path = draw(ANY_PATH)
    literal = VALUES if sign in ("=", "<>") else ORDERED
    right = draw(
        st.one_of(
            literal.map(lambda v: ("value", v)),
            ANY_PATH.filter(lambda p: p != path).map(lambda p: ("path", p)),
            ANY_PATH.map(lambda p: ("size", p)),
        )
    )
    left = ("size", path) if draw(st.integers(0, 5)) == 0 else ("path", path)
    return ("cmp", sign, right, left) if draw(st.booleans()) else ("cmp", sign, left, right)


def sort_key(value: dict[str, Any]) -> Any:
    [(kind, content)] = value.items()
    if kind == "N":
        return Decimal(content)
    return base64.b64decode(content) if kind == "B" else content


@st.composite
def betweens(draw: st.DrawFn) -> Tree:
    path, some = draw(
        st.one_of(
            st.sampled_from(((("n",), NUMERIC), (("t",), STRINGS))),
            st.tuples(ANY_PATH, st.sampled_from((STRINGS, NUMERIC, BINARY))),
        )
    )
    low, high = sorted((draw(some), draw(some)), key=sort_key)
    return ("between", ("path", path), ("value", low), ("value", high))


def parts_of(value: dict[str, Any]) -> list[dict[str, Any]]:
    """A value, what is in it, and its sets the other way round: likely to be found again."""
    [(kind, content)] = value.items()
    if kind in ("SS", "NS", "BS"):
        return [value, {kind: content[::-1]}, *({kind[0]: x} for x in content)]
    inner = content if kind == "L" else content.values() if kind == "M" else ()
    return [value, *(part for v in inner for part in parts_of(v))]


# ("pick", n): a value out of the item, put in when item and tree meet.
LITERALS = st.one_of(
    VALUES.map(lambda v: ("value", v)), st.integers(0, 99).map(lambda n: ("pick", n))
)
PATH_NODES = ANY_PATH.map(lambda p: ("path", p))
LEAVES = st.one_of(
    comparisons(),
    betweens(),
    st.tuples(st.just("cmp"), st.sampled_from(("=", "<>")), PATH_NODES, LITERALS),
    st.tuples(st.just("in"), PATH_NODES, st.lists(LITERALS, min_size=1, max_size=4).map(tuple)),
    st.tuples(st.sampled_from(("exists", "missing")), ANY_PATH),
    st.tuples(st.just("type"), ANY_PATH, st.sampled_from(KINDS)),
    st.tuples(st.just("begins"), ANY_PATH, st.one_of(STRINGS, BINARY).map(lambda v: ("value", v))),
    st.tuples(st.just("contains"), ANY_PATH, LITERALS),
    st.tuples(st.just("contains"), st.sampled_from((("k",), ("l",), ("s",), ("t",))), LITERALS),
    st.tuples(
        st.just("cmp"),
        st.sampled_from(("=", "<>", "<", "<=", ">", ">=")),
        *(st.just(("path", ("n",))), NUMERIC.map(lambda v: ("value", v))),
    ),
    st.tuples(
        st.just("cmp"),
        st.sampled_from(("=", "<>", "<", "<=", ">", ">=")),
        *(st.just(("path", ("t",))), STRINGS.map(lambda v: ("value", v))),
    ),
)
CONDITIONS: st.SearchStrategy[Tree] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(
            st.sampled_from(("and", "or")), st.lists(inner, min_size=2, max_size=3).map(tuple)
        ),
        st.tuples(st.just("not"), inner),
    ),
    max_leaves=6,
)


def filled(tree: Any, item: dict[str, Any]) -> Any:
    """A tree with its picks put in: parts of the value that the condition is about."""
    if not isinstance(tree, tuple) or not tree:
        return tree
    if tree[0] in ("and", "or"):
        return (tree[0], tuple(filled(t, item) for t in tree[1]))
    if tree[0] == "not":
        return ("not", filled(tree[1], item))
    about = next((x for x in tree[1:] if isinstance(x, tuple)), ())
    path = about[1] if about and about[0] == "path" else about
    return tuple(_picked(part, path, item) for part in tree)


def _picked(part: Any, path: Any, item: dict[str, Any]) -> Any:
    if not isinstance(part, tuple) or not part:
        return part
    if part[0] == "pick":
        held = at(path, item)
        found = parts_of(held) if held else parts_of({"M": item})[1:]
        return ("value", copy.deepcopy(found[part[1] % len(found)]))
    return tuple(_picked(p, path, item) for p in part)


# -- texts ----------------------------------------------------------------------------------------


class Texts:
    """Writes trees; subclasses say how names and values are written."""

    def name(self, name: str) -> str:
        raise NotImplementedError

    def value(self, value: dict[str, Any]) -> str:
        raise NotImplementedError

    def options(self, parts: list[str]) -> str:
        raise NotImplementedError

    def missing(self, path: str) -> str:
        raise NotImplementedError

    def path(self, path: Path) -> str:
        out = ""
        for step in path:
            part = f"[{step}]" if isinstance(step, int) else self.name(step)
            out += part if isinstance(step, int) or not out else "." + part
        return out

    def operand(self, node: Tree) -> str:
        if node[0] == "value":
            return self.value(node[1])
        return self.path(node[1]) if node[0] == "path" else f"size({self.path(node[1])})"

    def condition(self, tree: Tree) -> str:
        kind = tree[0]
        if kind in ("and", "or"):
            return f" {kind.upper()} ".join(self.inner(t) for t in tree[1])
        if kind == "not":
            return f"NOT {self.inner(tree[1])}"
        if kind == "cmp":
            return f"{self.operand(tree[2])} {tree[1]} {self.operand(tree[3])}"
        if kind == "between":
            x, low, high = map(self.operand, tree[1:])
            return f"{x} BETWEEN {low} AND {high}"
        if kind == "in":
            return f"{self.operand(tree[1])} IN " + self.options([*map(self.operand, tree[2])])
        if kind == "exists":
            return f"attribute_exists({self.path(tree[1])})"
        if kind == "missing":
            return self.missing(self.path(tree[1]))
        path = self.path(tree[1])
        if kind == "type":
            return f"attribute_type({path}, {self.value({'S': tree[2]})})"
        function = {"begins": "begins_with", "contains": "contains"}[kind]
        return f"{function}({path}, {self.operand(tree[2])})"

    def inner(self, tree: Tree) -> str:
        text = self.condition(tree)
        return f"({text})" if tree[0] in ("and", "or") else text


class Expression(Texts):
    """Condition and update expressions: names and values as placeholders."""

    def __init__(self) -> None:
        self.names: dict[str, str] = {}
        self.values: dict[str, dict[str, Any]] = {}

    def name(self, name: str) -> str:
        self.names["#" + name] = name
        return "#" + name

    def value(self, value: dict[str, Any]) -> str:
        ref = f":v{len(self.values)}"
        self.values[ref] = value
        return ref

    def options(self, parts: list[str]) -> str:
        return f"({', '.join(parts)})"

    def missing(self, path: str) -> str:
        return f"attribute_not_exists({path})"

    def amount(self, node: Tree) -> str:
        """The right-hand side of SET."""
        if node[0] in ("plus", "minus"):
            sign = "+" if node[0] == "plus" else "-"
            return f"{self.operand(node[1])} {sign} {self.operand(node[2])}"
        if node[0] == "append":
            return f"list_append({self.operand(node[1])}, {self.operand(node[2])})"
        if node[0] == "first":
            return f"if_not_exists({self.path(node[1])}, {self.operand(node[2])})"
        return self.operand(node)

    def update(self, actions: list[Tree]) -> str:
        sections: dict[str, list[str]] = {}
        for action in actions:
            path = self.path(action[1])
            if action[0] == "set":
                clause = f"{path} = {self.amount(action[2])}"
            else:
                clause = path if action[0] == "remove" else f"{path} {self.value(action[2])}"
            sections.setdefault(action[0].upper(), []).append(clause)
        return " ".join(f"{word} {', '.join(parts)}" for word, parts in sections.items())


class PartiQL(Texts):
    """Statements: values as literals where PartiQL has one, else as parameters."""

    def __init__(self, literals: bool = True) -> None:
        self.literals = literals
        self.parameters: list[dict[str, Any]] = []

    def name(self, name: str) -> str:
        return f'"{name}"'

    def value(self, value: dict[str, Any]) -> str:
        text = literal(value) if self.literals else None
        if text is not None:
            return text
        self.parameters.append(value)
        return "?"

    def options(self, parts: list[str]) -> str:
        return f"[{', '.join(parts)}]"

    def missing(self, path: str) -> str:
        return f"{path} IS MISSING"

    def amount(self, node: Tree) -> str:
        return Expression.amount(self, node)  # type: ignore[arg-type]

    def update(self, actions: list[Tree]) -> str:
        clauses = []
        for action in actions:
            path = self.path(action[1])
            if action[0] == "remove":
                clauses.append(f"REMOVE {path}")
            elif action[0] == "set":
                clauses.append(f"SET {path} = {self.amount(action[2])}")
            elif "N" in action[2]:
                zero = ("value", {"N": "0"})
                start = ("first", action[1], zero)
                clauses.append(f"SET {path} = {self.amount(start)} + {self.value(action[2])}")
            else:
                function = "set_add" if action[0] == "add" else "set_delete"
                clauses.append(f"SET {path} = {function}({path}, {self.value(action[2])})")
        return " ".join(clauses)


def literal(value: dict[str, Any]) -> str | None:
    """PartiQL's literal of a value; None where it has none (binary)."""
    [(kind, content)] = value.items()
    if kind == "S":
        return "'" + content.replace("'", "''") + "'"
    if kind == "N":
        return str(content)
    if kind in ("BOOL", "NULL"):
        return "null" if kind == "NULL" else str(content).lower()
    if kind in ("SS", "NS"):
        return "<<" + ", ".join(str(literal({kind[0]: x})) for x in content) + ">>"
    if kind == "L":
        parts = [literal(v) for v in content]
        return None if None in parts else "[" + ", ".join(map(str, parts)) + "]"
    if kind == "M":
        fields = {n: literal(v) for n, v in content.items()}
        if None in fields.values():
            return None
        return "{" + ", ".join(f"{literal({'S': n})}: {v}" for n, v in fields.items()) + "}"
    return None
