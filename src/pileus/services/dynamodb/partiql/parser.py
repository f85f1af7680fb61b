"""Statements: SELECT, INSERT, UPDATE (also with FROM first), DELETE, EXISTS(SELECT …).

Developer Guide, "PartiQL statements for DynamoDB". Trees are cached by text.
"""

from __future__ import annotations

from functools import lru_cache

from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.syntax import (
    Call,
    Delete,
    Exists,
    Insert,
    Is,
    Literal,
    Node,
    Op,
    Parameter,
    Path,
    Select,
    Sequence,
    Source,
    Statement,
    Struct,
    Update,
)
from pileus.services.dynamodb.partiql.terms import expression, simple_path
from pileus.services.dynamodb.partiql.tokens import Cursor, malformed

STATEMENTS_CACHED_MAX = 512
CLAUSES_AFTER_FROM = frozenset({"WHERE", "GROUP", "HAVING", "ORDER", "LIMIT", "LET"})
JOINS = frozenset({"JOIN", "INNER", "LEFT", "RIGHT", "FULL", "OUTER", "CROSS"})
UNSUPPORTED = frozenset({"GROUP", "HAVING", "LIMIT", "LET"})
# What the service calls a bare expression that it is asked to run.
KINDS: dict[type, str] = {
    Literal: "Literal",
    Path: "VariableReference",
    Parameter: "Parameter",
    Op: "NAry",
    Call: "NAry",
    Is: "IsType",
    Sequence: "Seq",
    Struct: "Struct",
}


@lru_cache(maxsize=STATEMENTS_CACHED_MAX)
def parse(text: str) -> Statement:
    """The tree of ``text``; ``AwsError`` ValidationException in the service's words."""
    c = Cursor(text, {"SELECT": select, "FROM": _inner_update})
    body = _body(c)
    c.accept(";")
    if not c.ended:
        raise malformed("Unexpected token after expression")
    if not isinstance(body, Select | Insert | Update | Delete | Exists):
        raise invalid(f"Unsupported operation: {KINDS.get(type(body), 'Path')}")
    if body.source.aliased:
        raise invalid("Aliasing is not supported")
    return Statement(body, c.parameters)


def _body(c: Cursor) -> Select | Insert | Update | Delete | Exists | Node:
    word = c.now.word
    if word == "INSERT":
        return _insert(c)
    if word == "UPDATE":
        return _update(c)
    if word == "DELETE":
        return _delete(c)
    if word == "FROM":
        return from_first(c)
    node = expression(c)
    if not isinstance(node, Call) or node.name != "exists" or len(node.args) != 1:
        return node
    inner = node.args[0]
    return Exists(inner) if isinstance(inner, Select) else node


# -- SELECT ---------------------------------------------------------------------------------------


def select(c: Cursor) -> Select:
    """``SELECT columns FROM table[.index] [WHERE …] [ORDER BY …]``."""
    start = c.take()
    columns = _columns(c)
    if not c.accept_word("FROM"):
        raise malformed("Expected FROM after SELECT list")
    source = _source(c, expression(c))
    if c.now.word in JOINS or (c.now.kind == "sign" and c.now.text == ","):
        raise invalid("Only select from a single table or index is supported.")
    where = expression(c) if c.accept_word("WHERE") else None
    _refuse_clause(c)
    order = _order(c) if c.accept_word("ORDER") else ()
    _refuse_clause(c)
    return Select(source, columns, where, order, start.place)


def _refuse_clause(c: Cursor) -> None:
    token = c.now
    if token.word in UNSUPPORTED:
        raise invalid(f"Unsupported clause: {token.word} at {token.place}")


def _columns(c: Cursor) -> tuple[Node, ...] | None:
    token = c.now
    if token.word in ("DISTINCT", "VALUE"):
        raise invalid(f"Unsupported clause: {token.word} at {token.place}")
    c.accept_word("ALL")
    columns: list[Node] = []
    stars = 0
    while True:
        if c.accept("*"):
            stars += 1
        else:
            columns.append(_column(c))
        if not c.accept(","):
            break
    if stars and (columns or stars > 1):
        raise invalid("Other attributes should not be present in the projection when '*' is used.")
    return tuple(columns) if columns else None


def _column(c: Cursor) -> Node:
    node = expression(c)
    if c.accept_word("AS") or c.now.kind == "quoted" or _bare(c):
        c.take()
        raise invalid("Aliasing is not supported")
    return node


def _bare(c: Cursor) -> bool:
    return c.now.kind == "word" and not c.now.reserved


def _source(c: Cursor, node: Node | Path) -> Source:
    """The table and index of a FROM, and whether a name for them follows."""
    if not isinstance(node, Path):
        raise invalid("Only select from a single table or index is supported.")
    steps = tuple(str(s) for s in node.steps)
    if "" in steps:
        raise invalid("Path component cannot be an empty string")
    if len(steps) > 2:
        raise invalid("A path may contain at most 2 components in the FROM clause")
    aliased = False
    if c.now.word in ("AS", "AT") or _bare(c) or c.now.kind == "quoted":
        if c.now.word in ("AS", "AT"):
            c.take()
        if c.now.kind not in ("word", "quoted"):
            raise malformed("Expected identifier for alias")
        c.take()
        aliased = True
    return Source(steps, aliased)


def _order(c: Cursor) -> tuple[tuple[Node, bool], ...]:
    if not c.accept_word("BY"):
        raise malformed("Expected BY after ORDER")
    terms = [_order_term(c)]
    while c.accept(","):
        terms.append(_order_term(c))
    return tuple(terms)


def _order_term(c: Cursor) -> tuple[Node, bool]:
    node = expression(c)
    if c.accept_word("DESC"):
        return node, False
    c.accept_word("ASC")
    return node, True


# -- writes ---------------------------------------------------------------------------------------


def _insert(c: Cursor) -> Insert:
    c.take()
    if not c.accept_word("INTO"):
        raise malformed("Expected INTO after INSERT")
    path = simple_path(c)
    c.accept_word("VALUE")
    value = expression(c)
    if len(path.steps) > 1:
        raise invalid("FROM clause may only contain a single table name")
    if path.steps[0] == "":
        raise invalid("Path component cannot be an empty string")
    return Insert(Source((str(path.steps[0]),)), value)


def _update(c: Cursor) -> Update:
    c.take()
    source = _source(c, simple_path(c))
    actions = _actions(c)
    where = expression(c) if c.accept_word("WHERE") else None
    return Update(source, actions, where, _returning(c))


def from_first(c: Cursor) -> Update:
    """``FROM table WHERE … SET …``: an UPDATE written the other way round."""
    c.take()
    source = _source(c, expression(c))
    where = expression(c) if c.accept_word("WHERE") else None
    actions = _actions(c)
    return Update(source, actions, where, _returning(c))


def _inner_update(c: Cursor) -> Node:
    from_first(c)
    raise invalid("Unsupported operation: DataManipulation")


def _actions(c: Cursor) -> tuple[tuple[Path, Node | None], ...]:
    actions: list[tuple[Path, Node | None]] = []
    while c.now.word in ("SET", "REMOVE"):
        action = _set if c.take().word == "SET" else _remove
        actions.append(action(c))
        while c.accept(","):
            actions.append(action(c))
    if not actions:
        raise malformed("Expected data manipulation")
    return tuple(actions)


def _set(c: Cursor) -> tuple[Path, Node | None]:
    path = simple_path(c)
    c.expect("=")
    return path, expression(c)


def _remove(c: Cursor) -> tuple[Path, Node | None]:
    return simple_path(c), None


def _delete(c: Cursor) -> Delete:
    c.take()
    if not c.accept_word("FROM"):
        raise malformed("Expected FROM after DELETE")
    source = _source(c, simple_path(c))
    where = expression(c) if c.accept_word("WHERE") else None
    return Delete(source, where, _returning(c))


def _returning(c: Cursor) -> str:
    """``ALL OLD``, ``MODIFIED NEW`` and so on; '' when nothing is to be returned."""
    if not c.accept_word("RETURNING"):
        return ""
    extent, side = c.take().word, c.take().word
    if extent not in ("ALL", "MODIFIED") or side not in ("OLD", "NEW"):
        raise malformed("Expected ALL or MODIFIED, then OLD or NEW, after RETURNING")
    c.expect("*")
    return f"{extent} {side}"
