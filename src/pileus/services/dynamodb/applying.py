"""Steps of the rules: find the table, judge a guard, work an update out. All pure but for reads.

A guard is None, ``[0, text, names, values]`` (an expression) or ``[1, terms, operator]`` (legacy).
An update is ``[0, text, names, values]`` or ``[1, actions]``.
"""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb import legacy, schema
from pileus.services.dynamodb.expressions.conditions import compile_condition
from pileus.services.dynamodb.expressions.paths import Path
from pileus.services.dynamodb.expressions.updates import added, compile_update, taken
from pileus.services.dynamodb.faults import invalid, not_found
from pileus.services.dynamodb.item_collections import weigh
from pileus.services.dynamodb.schema import Table, check_index_key, no_empty_update, too_long
from pileus.services.dynamodb.values import (
    DEPTH_MAX,
    ITEM_BYTES_MAX,
    TOO_DEEP,
    Item,
    Value,
    item_size,
)
from pileus.state.entry import RULES_VERSION
from pileus.state.tx import Tx

MISMATCH = "Type mismatch for attribute to update"
NESTED_TO_4 = (
    "Nesting Levels have exceeded supported limits: Attributes nested deeper than"
    f" {DEPTH_MAX} levels are not supported"
)
OF_INDEX = "The update expression attempted to update the secondary index key"


def table_of(tx: Tx, meta_key: bytes, incarnation: str) -> Table:
    """The table an entry was made for; ResourceNotFoundException when it is gone."""
    text = tx.get(meta_key)
    if text is None:
        raise not_found()
    table = schema.parse(meta_key, text)
    if table.id != incarnation:
        raise not_found()
    return table


def passes(guard: list[Any], item: Item) -> bool:
    """Does the guard hold for the item (empty: absent)?"""
    if guard[0] == 0:
        return compile_condition(guard[1], guard[2]).test(item, guard[3])
    return legacy.passes(guard[1], guard[2], item)


def takes_only(spec: list[Any] | None) -> bool:
    """Does an update remove and delete, and nothing else? Where no item has the key it causes
    nothing to happen (API reference, UpdateItem, ``AttributeUpdates``; expressions do the same)."""
    if spec is None:
        return False
    if spec[0] == 0:
        return compile_update(spec[1], spec[2]).takes_only
    return all(action == "DELETE" for _, action, _ in spec[1])


def update(table: Table, item: Item, spec: list[Any], version: int = RULES_VERSION) -> list[Path]:
    """Change ``item`` in place; answers the paths touched. ``AwsError`` when it cannot be, as the
    rules of ``version`` say it."""
    if spec[0] == 0:
        compiled = compile_update(spec[1], spec[2])
        compiled.apply(item, spec[3])
        paths = compiled.paths
        touched = compiled.heads
        if table.indexes:
            _check_index_keys(table, item, touched, version)
        for head in compiled.nested:
            if head in item:
                _check_depth(item[head], 1, version)
        if table.indexes and version <= 4:
            table.check_index_keys(item, touched)
    else:
        for action in spec[1]:
            _act(item, *action)
        paths = [(a[0],) for a in spec[1]]
        if table.indexes:
            table.check_index_keys(item, frozenset(a[0] for a in spec[1]))
    return paths


def check_updated_size(table: Table, item: Item, text: bytes, version: int = RULES_VERSION) -> None:
    """An updated item keeps to 400 KB, with its entries in local indexes (up to version 4 these
    were found with the collection, in the words of a put). An item is never larger than its text,
    so only a long text is measured."""
    several = version > 4 and table.sizes
    most = len(text) * (1 + len(table.indexes)) if several else len(text)
    if most <= ITEM_BYTES_MAX:
        return
    if (weigh(table, item) if several else item_size(item)) > ITEM_BYTES_MAX:
        raise invalid("Item size to update has exceeded the maximum allowed size")


def _check_index_keys(table: Table, item: Item, heads: frozenset[str], version: int) -> None:
    """What an expression made of the keys of indexes, in the words of the API reference
    (TransactWriteItems, "Validation Error")."""
    for name, kind, index in table.index_types:
        if name in heads and name in item:
            if kind not in item[name]:
                raise invalid(f"{OF_INDEX} to unsupported type")
            if version <= 4:
                check_index_key(name, kind, index, item[name])
            else:
                no_empty_update(kind, item[name])
    if version <= 4:
        return
    for made in table.indexes:
        if not heads.isdisjoint(made.names) and too_long(made, item):
            raise invalid(f"{OF_INDEX} beyond allowed size limits")


def _check_depth(value: Value, depth: int, version: int) -> None:
    """No value lies below level 32. Up to version 4 what is no list or map might, by one."""
    members = value.get("L")
    if members is None and "M" in value:
        members = list(value["M"].values())
    if depth > DEPTH_MAX and (version > 4 or members is not None):
        raise invalid(TOO_DEEP if version > 4 else NESTED_TO_4)
    for member in members or ():
        _check_depth(member, depth + 1, version)


def _act(item: Item, name: str, action: str, value: Value | None) -> None:
    """One legacy attribute update."""
    if action == "PUT":
        item[name] = value or {}
    elif action == "ADD":
        item[name] = added(item.get(name), value or {}, MISMATCH)
    elif value is None:
        item.pop(name, None)
    elif name in item:
        left = taken(item[name], value, MISMATCH)
        if left is None:
            del item[name]
        else:
            item[name] = left
