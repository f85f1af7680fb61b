"""Expressions by precedence climbing: OR, AND, NOT, comparisons, ``||``, sums, products, signs.

The words of errors are the service's; the choice among them follows which token stands where.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.syntax import (
    Call,
    Is,
    Literal,
    Node,
    Op,
    Parameter,
    Path,
    Sequence,
    Struct,
    Wildcard,
)
from pileus.services.dynamodb.partiql.tokens import DEPTH_MAX, INT_MAX, Cursor, Token, malformed
from pileus.services.dynamodb.partiql.words import (
    FUNCTIONS,
    OPERATORS,
    SECOND_WORDS,
    TYPES,
)

OR, AND, NOT, COMPARISON, CONCAT, SUM, PRODUCT = range(1, 8)
SIGNS = {
    **dict.fromkeys(("=", "<>", "!=", "<", "<=", ">", ">="), COMPARISON),
    "||": CONCAT,
    **dict.fromkeys("+-", SUM),
    **dict.fromkeys("*/%", PRODUCT),
}
WORDS = {"OR": OR, "AND": AND, "IN": COMPARISON, "IS": COMPARISON, "LIKE": COMPARISON}
WORDS["BETWEEN"] = COMPARISON
NEGATABLE = frozenset({"IN", "BETWEEN", "LIKE"})
CONSTANTS = {"TRUE": "BOOL", "FALSE": "BOOL", "NULL": "NULL", "MISSING": "MISSING"}


def expression(c: Cursor, least: int = OR) -> Node:
    """One expression whose operators bind at least as tightly as ``least``."""
    c.enter()
    left = _prefix(c, least)
    height = 0
    while True:
        token = c.now
        strength = SIGNS.get(token.text, 0) if token.kind == "sign" else WORDS.get(token.word, 0)
        if token.word == "NOT" and c.peek().word in NEGATABLE:
            strength = COMPARISON
        if strength == 0 or strength < least:
            c.leave()
            return left
        left = _infix(c, left, strength)
        height += strength >= COMPARISON  # AND and OR are flat
        if height > DEPTH_MAX:
            raise malformed("Statement is nested too deeply")


def _infix(c: Cursor, left: Node, strength: int) -> Node:
    token = c.take()
    if token.word == "NOT":
        return Op("not", (_infix(c, left, strength),), token.place)
    if token.word == "IS":
        return _is(c, left, token)
    if token.word == "BETWEEN":
        low = _right(c, COMPARISON + 1)
        if not c.accept_word("AND"):
            raise malformed("Expected AND after BETWEEN")
        return Op("between", (left, low, _right(c, COMPARISON + 1)), token.place)
    right = _right(c, strength + 1)
    sign = "<>" if token.text == "!=" else token.text if token.kind == "sign" else ""
    sign = sign or token.word.lower()
    if sign in ("and", "or") and isinstance(left, Op) and left.sign == sign:
        return Op(sign, (*left.args, right), left.place)
    return Op(sign, (left, right), token.place)


def _right(c: Cursor, least: int) -> Node:
    if c.ended or (c.now.kind == "sign" and c.now.text == ";"):
        raise malformed("Missing right-hand side expression of infix operator")
    return expression(c, least)


def _is(c: Cursor, left: Node, token: Token) -> Node:
    negated = c.accept_word("NOT")
    name = c.take()
    if name.word not in TYPES:
        raise malformed("Expected type name")
    second = SECOND_WORDS.get(name.word)
    if second:
        c.accept_word(second)
    if c.accept("("):  # DECIMAL(5, 2)
        _separated(c, ")", expression)
    test = Is(left, name.word, token.place)
    return Op("not", (test,), token.place) if negated else test


def _prefix(c: Cursor, least: int) -> Node:
    token = c.now
    if token.word == "NOT":
        if least > NOT:
            raise malformed("Unexpected operator")
        c.take()
        return Op("not", (expression(c, NOT),), token.place)
    if token.kind == "sign" and token.text in "+-":
        c.take()
        c.enter()
        signed = _signed(token, _prefix(c, PRODUCT))
        c.leave()
        return signed
    return _postfix(c, _primary(c))


def _signed(token: Token, operand: Node) -> Node:
    """A sign before a number belongs to it."""
    if not isinstance(operand, Literal) or operand.kind != "N":
        return Op("neg" if token.text == "-" else "pos", (operand,), token.place)
    if token.text == "+":
        return operand
    text = operand.text
    return Literal("N", text[1:] if text[0] == "-" else "-" + text, operand.place)


# -- primaries ------------------------------------------------------------------------------------


def _primary(c: Cursor) -> Node:
    token = c.now
    if token.kind == "word":
        return _word(c)
    if token.kind == "quoted":
        c.take()
        return Path((token.text,), token.place)
    if token.kind == "string":
        c.take()
        return Literal("S", token.text, token.place)
    if token.kind == "number":
        c.take()
        return Literal("N", token.text, token.place)
    if token.kind == "parameter":
        c.take()
        c.parameters += 1
        return Parameter(c.parameters - 1, token.place)
    return _bracketed(c)


def _bracketed(c: Cursor) -> Node:
    token = c.now
    if token.kind != "sign" or token.text not in ("(", "[", "<<", "{"):
        raise malformed("Unexpected term")
    c.take()
    if token.text == "[":
        return Sequence("list", _separated(c, "]", expression), token.place)
    if token.text == "<<":
        return Sequence("bag", _separated(c, ">>", expression), token.place)
    if token.text == "{":
        return Struct(_separated(c, "}", _field), token.place)
    items = _separated(c, ")", expression)
    if not items:
        raise malformed("Unexpected term")
    return items[0] if len(items) == 1 else Sequence("paren", items, token.place)


T = TypeVar("T")


def _separated(c: Cursor, closing: str, part: Callable[[Cursor], T]) -> tuple[T, ...]:
    """Parts between commas up to the sign ``closing``, which is taken."""
    parts: list[T] = []
    if c.accept(closing):
        return ()
    while True:
        parts.append(part(c))
        if c.accept(closing):
            return tuple(parts)
        c.expect(",")


def _field(c: Cursor) -> tuple[str, Node]:
    name = c.take()
    if name.kind != "string":
        raise malformed("Expected a string literal for the name of a tuple's member")
    c.expect(":")
    return name.text, expression(c)


def _word(c: Cursor) -> Node:
    token = c.now
    constant = CONSTANTS.get(token.word)
    if constant:
        c.take()
        return Literal(constant, token.word, token.place)
    statement = c.statements.get(token.word)
    if statement is not None:
        return statement(c)
    following = c.peek()
    called = following.kind == "sign" and following.text == "("
    if token.word in OPERATORS:
        raise malformed("Unexpected operator")
    if token.reserved and not (called and token.word in FUNCTIONS):
        raise malformed("Unexpected keyword")
    c.take()
    if not called:
        return Path((token.text,), token.place)
    c.take()
    return Call(token.text.lower(), _separated(c, ")", _argument), token.place)


def _argument(c: Cursor) -> Node:
    if c.now.kind == "sign" and c.now.text == "*":
        return Wildcard(c.take().place)
    return expression(c)


# -- paths ----------------------------------------------------------------------------------------


def _postfix(c: Cursor, head: Node) -> Node:
    """What follows a primary by ``.`` and ``[]``."""
    steps: list[str | int] = []
    while c.now.kind == "sign" and c.now.text in (".", "["):
        if c.accept("."):
            steps.append(_name_after_dot(c))
        else:
            c.take()
            steps.append(_index(c))
            c.expect("]")
    if not steps:
        return head
    if not isinstance(head, Path):
        raise invalid(f"Unexpected path component at {getattr(head, 'place', '')}")
    return Path((*head.steps, *steps), head.place)


def _name_after_dot(c: Cursor) -> str:
    token = c.take()
    if token.kind == "quoted" or (token.kind == "word" and not token.reserved):
        return token.text
    if token.kind == "sign" and token.text == "*":
        raise invalid(f"Unexpected path component at {token.place}")
    raise malformed("Invalid path dot component")


def _index(c: Cursor) -> str | int:
    opening = c.now.place
    if c.now.kind == "sign" and c.now.text == "*":
        raise invalid(f"Unexpected path component at {opening}")
    node = expression(c)
    if isinstance(node, Literal) and node.kind == "S":
        return node.text
    if not isinstance(node, Literal) or node.kind != "N" or not node.text.lstrip("-").isdigit():
        raise invalid(f"Unexpected path component at {opening}")
    number = int(node.text)
    if not 0 <= number <= INT_MAX:
        raise invalid(
            f"List index is not within the allowable range; index: [{number}] at {node.place}"
        )
    return number


def simple_path(c: Cursor) -> Path:
    """A path that must start with a name: the target of SET and REMOVE, a table after INTO."""
    token = c.now
    if not (token.kind == "quoted" or (token.kind == "word" and not token.reserved)):
        raise malformed("Expected identifier for simple path")
    c.take()
    node = _postfix(c, Path((token.text,), token.place))
    assert isinstance(node, Path)
    return node
