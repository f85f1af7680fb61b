"""WHERE as the text of a condition expression: the evaluator of conditions is the one there is.

Names and values become placeholders, so the text depends on the statement's form alone and its
compiled form is shared. A condition compared with a boolean (``attribute_exists(a) = true``) has
no form in condition expressions: it is written out by cases.
"""

from __future__ import annotations

from pileus.services.dynamodb.expressions.conditions import (
    ARITY,
    Condition,
    compile_condition,
)
from pileus.services.dynamodb.expressions.tokens import EXPRESSION_BYTES_MAX, Fault
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.literals import is_value, unsupported, value_of
from pileus.services.dynamodb.partiql.syntax import Call, Is, Literal, Node, Op, Path, Sequence
from pileus.services.dynamodb.partiql.words import TYPES
from pileus.services.dynamodb.values import Value

COMPARISONS = frozenset({"=", "<>", "<", "<=", ">", ">="})
TESTS = COMPARISONS | {"and", "or", "not", "in", "between"}
TYPE_NAMES = "valid types: {B,NULL,SS,BOOL,L,BS,N,NS,S,M}"
TYPE_NAMES_HERE = "valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}"


class Placeholders:
    """Names and values of one expression, by the placeholders its text has for them."""

    def __init__(self, parameters: list[Value]) -> None:
        self.parameters = parameters
        self.names: dict[str, str] = {}
        self.values: dict[str, Value] = {}
        self._aliases: dict[str, str] = {}

    def path(self, path: Path) -> str:
        """``#0.#1[2]``."""
        out = ""
        for step in path.steps:
            if isinstance(step, int):
                out += f"[{step}]"
            else:
                out += ("." if out else "") + self.name(step)
        return out

    def name(self, name: str) -> str:
        alias = self._aliases.get(name)
        if alias is None:
            alias = self._aliases[name] = f"#{len(self._aliases)}"
            self.names[alias] = name
        return alias

    def value(self, node: Node) -> str:
        return self.constant(value_of(node, self.parameters))

    def constant(self, value: Value) -> str:
        ref = f":{len(self.values)}"
        self.values[ref] = value
        return ref


class Text(str):
    """A condition's text; ``kind``: and, or, not, leaf."""

    __slots__ = ("kind",)
    kind: str

    def __new__(cls, text: str, kind: str = "leaf") -> Text:
        if len(text) > EXPRESSION_BYTES_MAX:
            raise invalid(
                "Expression size has exceeded the maximum allowed size; expression size:"
                f" {len(text)}"
            )
        made = super().__new__(cls, text)
        made.kind = kind
        return made


def both(*parts: Text) -> Text:
    """All of ``parts``."""
    return _chain("and", " AND ", parts)


def either(*parts: Text) -> Text:
    """Any of ``parts``."""
    return _chain("or", " OR ", parts)


def _chain(kind: str, word: str, parts: tuple[Text, ...]) -> Text:
    if len(parts) == 1:
        return parts[0]
    inner = {"and": "or", "or": "and"}[kind]
    return Text(word.join(f"({p})" if p.kind in (inner, kind) else p for p in parts), kind)


def negated(part: Text) -> Text:
    return Text(f"NOT ({part})" if part.kind in ("and", "or") else f"NOT {part}", "not")


class Writer:
    """Writes one condition over ``Placeholders``."""

    def __init__(self, placeholders: Placeholders) -> None:
        self.at = placeholders

    def test(self, node: Node) -> Text:
        """The text of a condition; ``AwsError`` when ``node`` is none."""
        if isinstance(node, Op) and node.sign in TESTS:
            return self._operator(node)
        if isinstance(node, Is):
            return self._is(node)
        if isinstance(node, Call):
            return self._function(node)
        raise invalid(f"Unsupported condition in the where clause at {node.place}")

    def _operator(self, node: Op) -> Text:
        if node.sign == "and":
            return both(*map(self.test, node.args))
        if node.sign == "or":
            return either(*map(self.test, node.args))
        if node.sign == "not":
            return negated(self.test(node.args[0]))
        if node.sign == "in":
            return self._in(node)
        if any(map(_is_test, node.args)):
            return self._compare_tests(node)
        parts = [self.operand(a) for a in node.args]
        if node.sign == "between":
            return Text(f"{parts[0]} BETWEEN {parts[1]} AND {parts[2]}")
        return Text(f"{parts[0]} {node.sign} {parts[1]}")

    def operand(self, node: Node) -> str:
        """A path, a value, or ``size(path)``."""
        if isinstance(node, Path):
            return self.at.path(node)
        if is_value(node):
            return self.at.value(node)
        if isinstance(node, Call):
            if node.name != "size":
                raise invalid(f"Unrecognized function: {node.name} at {node.place}")
            return self._call(node)
        if isinstance(node, Op):
            raise invalid(f"Unsupported operator: {node.sign} at {node.place}")
        raise unsupported(node)

    def _in(self, node: Op) -> Text:
        options = self.options(node)
        if _is_test(node.args[0]) or any(map(_is_test, options)):
            return either(*(self._equal(node.args[0], o) for o in options))
        listed = ", ".join(self.operand(o) for o in options)
        return Text(f"{self.operand(node.args[0])} IN ({listed})")

    def options(self, node: Op) -> tuple[Node, ...]:
        """The members of an IN's right side."""
        return options_of(node, self.at.parameters)

    def _is(self, node: Is) -> Text:
        if not isinstance(node.term, Path):
            raise invalid(f"Unsupported operand of IS at {node.place}")
        path = self.at.path(node.term)
        if node.type == "MISSING":
            return Text(f"attribute_not_exists({path})")
        kinds = TYPES[node.type]
        if not kinds:
            raise invalid(f"Unsupported data type: {node.type} at {node.place}")
        return either(
            *(Text(f"attribute_type({path}, {self.at.constant({'S': k})})") for k in kinds)
        )

    def _function(self, node: Call) -> Text:
        if node.name not in ARITY:
            raise invalid(f"Unrecognized function: {node.name} at {node.place}")
        if node.name == "size":
            raise invalid(
                "The function is not allowed to be used this way in an expression; function: size"
            )
        return Text(self._call(node))

    def _call(self, node: Call) -> str:
        if len(node.args) != ARITY[node.name]:
            raise invalid(
                "Incorrect number of operands for operator or function; operator or function:"
                f" {node.name}, number of operands: {len(node.args)}"
            )
        return f"{node.name}({', '.join(self.operand(a) for a in node.args)})"

    # -- conditions as booleans ------------------------------------------------------------

    def _compare_tests(self, node: Op) -> Text:
        if node.sign not in ("=", "<>"):
            raise invalid(
                "Incorrect operand type for operator or function; operator or function:"
                f" {node.sign.upper()}, operand type: BOOL"
            )
        equal = self._equal(node.args[0], node.args[1])
        return equal if node.sign == "=" else negated(equal)

    def _equal(self, a: Node, b: Node) -> Text:
        """``a = b`` where at least one may be a condition."""
        if not _is_test(a):
            a, b = b, a
        if not _is_test(a):
            return Text(f"{self.operand(a)} = {self.operand(b)}")
        first = self.test(a)
        if _is_test(b):
            second = self.test(b)
            return either(both(first, second), both(negated(first), negated(second)))
        if isinstance(b, Literal) and b.kind == "BOOL":
            return first if b.text == "TRUE" else negated(first)
        other = self.operand(b)
        true, false = self.at.constant({"BOOL": True}), self.at.constant({"BOOL": False})
        return either(
            both(first, Text(f"{other} = {true}")),
            both(negated(first), Text(f"{other} = {false}")),
        )


def _is_test(node: Node) -> bool:
    """Is ``node`` a condition, not an operand?"""
    if isinstance(node, Op):
        return node.sign in TESTS
    return isinstance(node, Is) or (isinstance(node, Call) and node.name != "size")


def options_of(node: Op, parameters: list[Value]) -> tuple[Node, ...]:
    """The members of an IN's right side: ``[a, b]``, ``(a, b)``, ``<<a, b>>`` or one value."""
    right = node.args[1]
    items = right.items if isinstance(right, Sequence) else (right,)
    if not items:
        raise invalid("The IN operator is provided with no operands")
    return items


def compiled(text: str, at: Placeholders) -> Condition:
    """The compiled condition, checked against its values."""
    try:
        made = compile_condition(text, at.names)
        made.check(at.values)
    except Fault as fault:
        raise invalid(str(fault).replace(TYPE_NAMES, TYPE_NAMES_HERE)) from None
    return made


class Filter:
    """A compiled WHERE: ``guard`` is its form in an entry, ``keep`` its test of an item."""

    def __init__(self, text: str, at: Placeholders) -> None:
        text = str(text)  # the plain text: entries carry no subclass
        self.condition = compiled(text, at)
        self.guard = [0, text, at.names, at.values]
        self._values = at.values

    def keep(self, item: dict[str, Value]) -> bool:
        return self.condition.test(item, self._values)


def filter_of(node: Node, parameters: list[Value]) -> Filter:
    """The filter of a WHERE clause."""
    at = Placeholders(parameters)
    return Filter(Writer(at).test(node), at)
