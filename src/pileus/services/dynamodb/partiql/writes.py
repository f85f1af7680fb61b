"""INSERT, UPDATE, DELETE and EXISTS as the operations that entries carry.

An INSERT is a put of an item that must not be there, an UPDATE one of an item that must be, a
DELETE may find nothing; what WHERE says beyond the key is the write's condition.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from pileus.errors import AwsError
from pileus.services.dynamodb.expressions.updates import compile_update
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.get_item import check_nested
from pileus.services.dynamodb.partiql.conditions import (
    Filter,
    Placeholders,
    Text,
    Writer,
    both,
    either,
)
from pileus.services.dynamodb.partiql.literals import unsupported, value_of
from pileus.services.dynamodb.partiql.ranges import OneItem, one_item
from pileus.services.dynamodb.partiql.source import refuse_index
from pileus.services.dynamodb.partiql.syntax import (
    Delete,
    Exists,
    Insert,
    Node,
    Op,
    Sequence,
    Statement,
    Struct,
    Update,
)
from pileus.services.dynamodb.partiql.updates import UpdateText
from pileus.services.dynamodb.rules import OLD, SHOW
from pileus.services.dynamodb.schema import MISMATCH, Table
from pileus.services.dynamodb.throughput import Meter, Throughput
from pileus.services.dynamodb.update_item import check_targets
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, Item, Value, check_item, type_of

NO_KEY = "Where clause does not contain a mandatory equality on all key attributes"
RETURNS = {
    "ALL OLD": "ALL_OLD",
    "ALL NEW": "ALL_NEW",
    "MODIFIED OLD": "UPDATED_OLD",
    "MODIFIED NEW": "UPDATED_NEW",
}


@dataclass(slots=True)
class Write:
    """A write ready for an entry. ``kind``: put, update, delete, check. ``item`` holds the key."""

    kind: str
    table: Table
    key: bytes
    item: Item
    guard: list[Any] | None
    spec: list[Any] | None = None
    returns: str = "NONE"
    insert: bool = False

    def meter(self, throughput: Throughput) -> Meter | None:
        """Admit the write; what charges it, None when nothing meters its table."""
        if self.kind == "update" and self.spec is not None and self.table.metered:
            heads = compile_update(self.spec[1], self.spec[2]).heads
            return throughput.meter(self.table, self.key, self.item, heads)
        new = self.item if self.kind == "put" else None
        return throughput.meter(self.table, self.key, new)

    def entry(self, show: bool, flags: int) -> tuple[str, list[Any]]:
        """The rule's name and its arguments, for a write on its own."""
        flags |= SHOW if show else 0
        head = [self.table.meta_key, self.table.id, self.key]
        if self.kind == "update":
            return "dynamodb.update", [*head, self.item, self.spec, self.guard, self.returns, flags]
        if self.kind == "put":
            return "dynamodb.put", [*head, orjson.dumps(self.item), self.guard, flags]
        flags |= OLD if self.returns == "ALL_OLD" else 0
        return "dynamodb.delete", [*head, self.guard, flags]

    def operation(self, show: bool) -> list[Any]:
        """The operation of a transaction's entry."""
        head = [self.kind, self.table.meta_key, self.table.id, self.key]
        if self.kind == "put":
            return [*head, orjson.dumps(self.item), self.guard, show]
        if self.kind == "update":
            return [*head, self.item, self.spec, self.guard, show]
        return [*head, self.guard, show]


class Draft:
    """A write checked as far as its text goes; ``on(table)`` checks it against the schema."""

    def __init__(self, statement: Statement, parameters: list[Value]) -> None:
        body = statement.body
        self.source = body.source
        self.returning = getattr(body, "returning", "")
        self._parameters = parameters
        self._on: Callable[[Table, bool], Write]
        if isinstance(body, Insert):
            self._item = _item_of(body.value, parameters)
            self._on = self._insert
            return
        refuse_index(body.source)
        where = body.select.where if isinstance(body, Exists) else body.where  # type: ignore[union-attr]
        self._where: Node | None = where
        if where is not None:
            at = Placeholders(parameters)
            Filter(Writer(at).test(where), at)
        if isinstance(body, Update):
            self._update = UpdateText(body.actions, parameters)
            self._on = self._update_on
        elif isinstance(body, Delete):
            if self.returning not in ("", "ALL OLD"):
                raise invalid(
                    f"Invalid returning clause: RETURNING {self.returning} *. Only RETURNING ALL"
                    " OLD * is allowed in DELETE statements."
                )
            self._on = self._delete
        else:
            self._on = self._check

    def on(self, table: Table, in_transaction: bool = False) -> Write:
        """The write on ``table``; ``AwsError`` ValidationException where it does not fit."""
        return self._on(table, in_transaction)

    def _insert(self, table: Table, in_transaction: bool) -> Write:
        key = table.item_key(self._item)
        at = Placeholders([])
        absent = Filter(Text(f"attribute_not_exists({at.name(table.hash_name)})"), at)
        return Write("put", table, key, self._item, absent.guard, insert=True)

    def _update_on(self, table: Table, in_transaction: bool) -> Write:
        one = self._one(table, in_transaction)
        key = self._row_key(table, one, in_transaction)
        compiled = self._update.compiled
        check_targets(table, compiled, self._update.values, [])
        check_nested(table, compiled.nested)
        guard = _guarded(table, one.rest, self._parameters, present=True)
        returns = RETURNS.get(self.returning, "NONE")
        return Write("update", table, key, one.key, guard, self._update.spec, returns)

    def _delete(self, table: Table, in_transaction: bool) -> Write:
        one = self._one(table, in_transaction)
        key = self._row_key(table, one, in_transaction)
        guard = None
        if one.rest:
            guard = _guarded(table, one.rest, self._parameters, present=False)
        returns = RETURNS.get(self.returning, "NONE")
        return Write("delete", table, key, one.key, guard, returns=returns)

    def _check(self, table: Table, in_transaction: bool) -> Write:
        """EXISTS: one item by equalities, and a condition on it."""
        one = one_item(self._where, table, self._parameters)
        rest = [] if one is None else [*one.rest, *(node for _, node in one.conflicts)]
        if one is None or not rest:
            raise invalid("EXISTS() must contain a single item read with additional condition")
        guard = _guarded(table, rest, self._parameters, present=True)
        return Write("check", table, table.key_of(one.key), one.key, guard)

    def _one(self, table: Table, in_transaction: bool) -> OneItem:
        one = one_item(self._where, table, self._parameters)
        if one is None:
            raise invalid(MISMATCH if in_transaction else NO_KEY)
        if one.conflicts:
            raise invalid(
                f"Multiple conditions on same key {one.conflicts[0][0]}. Only single item"
                " Update/Insert/Delete are supported"
            )
        return one

    def _row_key(self, table: Table, one: OneItem, in_transaction: bool) -> bytes:
        if not in_transaction:
            for name, kind in table.key_attributes:
                if type_of(one.key[name]) != kind:
                    raise invalid(
                        "Key attribute's data type should match its data type in table's schema:"
                        f" Key {name}"
                    )
        return table.key_of(one.key)


def _guarded(table: Table, rest: list[Node], parameters: list[Value], present: bool) -> list[Any]:
    """The condition ``rest``, on an item that must be there (``present``) or may be missing."""
    at = Placeholders(parameters)
    head = at.name(table.hash_name)
    writer = Writer(at)
    tests = [writer.test(node) for node in rest]
    if present:
        whole = both(Text(f"attribute_exists({head})"), *tests)
    else:
        whole = either(Text(f"attribute_not_exists({head})"), both(*tests))
    made = Filter(whole, at)
    check_nested(table, made.condition.nested)
    return made.guard


def _item_of(node: Node, parameters: list[Value]) -> Item:
    """The item of an INSERT, each attribute a value of its own."""
    if isinstance(node, Sequence) and node.kind == "bag":
        raise invalid(
            "Unsupported operation: Inserting multiple items in a single statement is not"
            ' supported, use "INSERT INTO tableName VALUE item" instead'
        )
    if not isinstance(node, Struct):
        if isinstance(node, Op):
            raise unsupported(node)
        raise invalid(
            "Unsupported format in item expression. Please use struct format {...} to express item"
            " values for insert statement."
        )
    item = {name: value_of(part, parameters) for name, part in node.fields}
    if check_item(item) > ITEM_BYTES_MAX:
        raise invalid("Item size has exceeded the maximum allowed size")
    return item


def duplicate() -> AwsError:
    """INSERT found an item of the same key."""
    return AwsError("DuplicateItemException", "Duplicate primary key exists in table")
