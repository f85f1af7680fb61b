"""Recursive descent over expression tokens.

Trees are tuples: ``("path", (step, …))`` where a step is a name, an alias (``#x``) or an index;
``("value", ":v")``; ``("call", name, args)``; ``("cmp", sign, a, b)``; ``("between", x, lo, hi)``;
``("in", x, args)``; ``("and" | "or", parts)``; ``("not", x)``. Developer Guide: "Syntax for filter
and condition expressions", "Update expressions", "Projection expressions".
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from pileus.services.dynamodb.expressions.tokens import Fault, Tokens

Node = tuple[Any, ...]
CONDITION_WORDS = frozenset({"AND", "OR", "NOT", "BETWEEN", "IN"})
SECTION_WORDS = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
COMPARATORS = frozenset({"=", "<>", "<", "<=", ">", ">="})
NOTHING: frozenset[str] = frozenset()
OPERANDS_IN_MAX = 100


# -- operands ------------------------------------------------------------


def _path(t: Tokens, reserved: frozenset[str]) -> Node:
    return _path_tail(t, [_step(t, reserved)], reserved)


def _path_tail(t: Tokens, steps: list[str | int], reserved: frozenset[str]) -> Node:
    while True:
        if t.accept("."):
            steps.append(_step(t, reserved))
        elif t.accept("["):
            if t.now.kind != "number":
                raise t.fault()
            steps.append(int(t.take().text[:9]))
            t.expect("]")
        else:
            return ("path", tuple(steps))


def _step(t: Tokens, reserved: frozenset[str]) -> str:
    token = t.now
    if token.kind == "alias" or (token.kind == "name" and token.word not in reserved):
        return t.take().text
    raise t.fault()


def _call(t: Tokens, reserved: frozenset[str]) -> Node:
    name = t.take().text
    t.operator()
    t.expect("(")
    t.enter()
    args = [_operand(t, reserved)]
    while t.accept(","):
        args.append(_operand(t, reserved))
    t.leave()
    t.expect(")")
    return ("call", name, tuple(args))


def _operand(t: Tokens, reserved: frozenset[str]) -> Node:
    token = t.now
    if token.kind == "value":
        return ("value", t.take().text)
    if token.kind == "name" and t.peek().text == "(" and token.word not in reserved:
        return _call(t, reserved)
    if token.kind == "sign" and token.text == "(":
        return _group(t, reserved)
    return _path(t, reserved)


def _group(t: Tokens, reserved: frozenset[str]) -> Node:
    """An operand in parentheses."""
    opening = t.at
    t.expect("(")
    t.enter()
    node = _operand(t, reserved)
    t.leave()
    _close(t, opening)
    return _path_tail(t, list(node[1]), reserved) if node[0] == "path" else node


def _close(t: Tokens, opening: int) -> None:
    """Step over the closing parenthesis; a group that holds nothing but a group is redundant."""
    closing = t.at
    t.expect(")")
    inner = t.list[opening + 1]
    if inner.kind == "sign" and inner.text == "(" and _closes(t, opening + 1) == closing - 1:
        t.parens = "The expression has redundant parentheses;"


# -- conditions ------------------------------------------------------------


@lru_cache(maxsize=2048)
def condition(text: str) -> tuple[Node, str]:
    """The tree of a condition and its parenthesis fault ('' when none)."""
    t = Tokens(text)
    node = _must_be_condition(t, _or(t))
    if t.now.kind != "end":
        raise t.fault()
    return node, t.parens


def _or(t: Tokens) -> Node:
    return _chain(t, "OR", "or", _and)


def _and(t: Tokens) -> Node:
    return _chain(t, "AND", "and", _not)


def _chain(t: Tokens, word: str, kind: str, part: Any) -> Node:
    first = part(t)
    if t.now.word != word:
        return first  # type: ignore[no-any-return]
    parts = [_must_be_condition(t, first)]
    while t.now.word == word:
        t.take()
        t.operator()
        parts.append(_must_be_condition(t, part(t)))
    return (kind, tuple(parts))


def _must_be_condition(t: Tokens, node: Node) -> Node:
    if node[0] in ("path", "value"):
        raise t.fault()
    return node


def _not(t: Tokens) -> Node:
    if t.now.word != "NOT":
        return _comparison(t)
    t.take()
    t.operator()
    t.enter()
    node = ("not", _must_be_condition(t, _not(t)))
    t.leave()
    return node


def _comparison(t: Tokens) -> Node:
    left = _primary(t)
    token = t.now
    if token.kind == "sign" and token.text in COMPARATORS:
        _must_be_operand(t, left)
        t.take()
        t.operator()
        return ("cmp", token.text, left, _operand_or_group(t))
    if token.word == "BETWEEN":
        _must_be_operand(t, left)
        t.take()
        t.operator()
        low = _operand_or_group(t)
        if t.now.word != "AND":
            raise t.fault()
        t.take()
        return ("between", left, low, _operand_or_group(t))
    if token.word == "IN":
        _must_be_operand(t, left)
        t.take()
        t.operator()
        return ("in", left, _in_list(t))
    return left


def _in_list(t: Tokens) -> tuple[Node, ...]:
    t.expect("(")
    args = [_operand_or_group(t)]
    while t.accept(","):
        args.append(_operand_or_group(t))
    t.expect(")")
    if len(args) > OPERANDS_IN_MAX:
        raise Fault(
            f"The IN operator is provided with too many operands; number of operands: {len(args)}"
        )
    return tuple(args)


def _must_be_operand(t: Tokens, node: Node) -> None:
    if node[0] not in ("path", "value", "call"):
        raise t.fault()


def _operand_or_group(t: Tokens) -> Node:
    node = _primary(t)
    _must_be_operand(t, node)
    return node


def _primary(t: Tokens) -> Node:
    """An operand, or a parenthesised condition or operand."""
    if not (t.now.kind == "sign" and t.now.text == "("):
        return _operand(t, CONDITION_WORDS)
    opening = t.at
    t.take()
    t.enter()
    node = _or(t)
    t.leave()
    _close(t, opening)
    return _path_tail(t, list(node[1]), CONDITION_WORDS) if node[0] == "path" else node


def _closes(t: Tokens, opening: int) -> int:
    """Place of the parenthesis that closes the one at ``opening``."""
    depth = 0
    for i in range(opening, len(t.list)):
        depth += (t.list[i].text == "(") - (t.list[i].text == ")")
        if depth == 0:
            return i
    return -1


# -- projections ------------------------------------------------------------


@lru_cache(maxsize=1024)
def projection(text: str) -> tuple[Node, ...]:
    """The paths of a projection."""
    t = Tokens(text)
    paths = [_path(t, NOTHING)]
    while t.accept(","):
        paths.append(_path(t, NOTHING))
    if t.now.kind != "end":
        raise t.fault()
    return tuple(paths)


# -- updates ------------------------------------------------------------


@lru_cache(maxsize=1024)
def update(text: str) -> tuple[Node, ...]:
    """Sections in order: ``(section, ((path, operand or None), …))``."""
    t = Tokens(text)
    sections = [_section(t)]
    while t.now.kind != "end":
        sections.append(_section(t))
    return tuple(sections)


def _section(t: Tokens) -> Node:
    word = t.now.word
    if word not in SECTION_WORDS:
        raise t.fault()
    t.take()
    clauses = [_clause(t, word)]
    while t.accept(","):
        clauses.append(_clause(t, word))
    return (word, tuple(clauses))


def _clause(t: Tokens, word: str) -> Node:
    path = _path(t, SECTION_WORDS)
    t.operator()
    if word == "REMOVE":
        return (path, None)
    if word == "SET":
        t.expect("=")
        return (path, _sum(t))
    if t.now.kind != "value":
        raise t.fault()
    return (path, ("value", t.take().text))


def _sum(t: Tokens) -> Node:
    """``operand [+|- operand]``, the whole or either side in parentheses."""
    if t.now.text == "(" and t.now.kind == "sign":
        return _sum_after_group(t)
    return _sum_tail(t, _operand(t, SECTION_WORDS))


def _sum_after_group(t: Tokens) -> Node:
    t.take()
    t.enter()
    node = _sum(t)
    t.leave()
    t.expect(")")
    return node if node[0] == "sum" else _sum_tail(t, node)


def _sum_tail(t: Tokens, left: Node) -> Node:
    if t.now.kind == "sign" and t.now.text in "+-":
        sign = t.take().text
        t.operator()
        return ("sum", sign, left, _operand(t, SECTION_WORDS))
    return left
