"""What a changed item changes besides its own row: index rows, the change record, the price."""

from __future__ import annotations

from typing import Any

import orjson

from pileus.services.dynamodb.history import remember
from pileus.services.dynamodb.item_collections import grow
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.values import Item, equal, item_size
from pileus.state.entry import RULES_VERSION
from pileus.state.tx import Tx

WRITE_UNIT_BYTES = 1024
SERVICE = {"type": "Service", "principalId": "dynamodb.amazonaws.com"}


def write_units(size_bytes: int) -> int:
    """Write capacity units of an item of that size; nothing costs one."""
    return max(1, -(-size_bytes // WRITE_UNIT_BYTES))


class Change:
    """One item before and after: texts (None: absent) and, when needed, parsed."""

    __slots__ = ("_new", "_old", "key", "new_text", "old_text")

    def __init__(
        self,
        key: bytes,
        old_text: bytes | None,
        new_text: bytes | None,
        old: Item | None = None,
        new: Item | None = None,
    ) -> None:
        self.key = key
        self.old_text = old_text
        self.new_text = new_text
        self._old = old
        self._new = new

    @property
    def old(self) -> Item | None:
        if self._old is None and self.old_text is not None:
            self._old = orjson.loads(self.old_text)
        return self._old

    @property
    def new(self) -> Item | None:
        if self._new is None and self.new_text is not None:
            self._new = orjson.loads(self.new_text)
        return self._new


def carry_out(
    tx: Tx,
    table: Table,
    change: Change,
    priced: bool,
    version: int = RULES_VERSION,
    by_service: bool = False,
) -> list[Any] | None:
    """Write the item, its index rows and its change record, as the rules of ``version`` do.
    Answers ``[units, {index: units}]`` when ``priced``."""
    if change.new_text is not None:
        tx.put(change.key, change.new_text)
    elif change.old_text is not None:
        tx.delete(change.key)
    if table.sizes:
        grow(tx, table, change.old, change.new)
    if table.history:
        remember(tx, table, change.key, change.old_text)
    index_units: dict[str, float] = {}
    for index in table.indexes:
        units = _carry_index(tx, table, index, change)
        if units:
            index_units[index.name] = float(units)
    if table.stream_view:
        _record(tx, table, change, version, by_service)
    if not priced:
        return None
    return [write_price(change), index_units]


def write_price(change: Change) -> float:
    """Units of the item's own write: by the larger of what was and what is. An item is never larger
    than its text, so short texts need no look inside."""
    if max(len(change.old_text or b""), len(change.new_text or b"")) <= WRITE_UNIT_BYTES:
        return 1.0
    size = max(item_size(i) if i else 0 for i in (change.old, change.new))
    return float(write_units(size))


def _carry_index(tx: Tx, table: Table, index: Index, change: Change) -> int:
    """Bring one index up to date; answers the write units it took."""
    old, new = change.old, change.new
    source = new if new is not None else old
    if source is None:
        return 0
    sort = table.sort_of(source)
    before = index.address(old, sort) if old is not None else None
    after = index.address(new, sort) if new is not None else None
    units = 0
    if before is not None and before != after:
        tx.delete(before)
        units += write_units(item_size(index.image(old or {})))
    if after is None:
        return units
    image = index.image(new or {})
    if before == after:
        previous = index.image(old or {})
        if previous == image:
            return units
        units += write_units(max(item_size(previous), item_size(image)))
    else:
        units += write_units(item_size(image))
    whole = index.projected is None and change.new_text is not None
    tx.put(after, change.new_text if whole else orjson.dumps(image))  # type: ignore[arg-type]
    return units


def _record(tx: Tx, table: Table, change: Change, version: int, by_service: bool) -> None:
    """The change record a stream shows (DynamoDB Streams API, ``Record``); none for no change. Up
    to version 4 a set in another order was one."""
    old, new = change.old, change.new
    if old == new or (version > 4 and old and new and equal({"M": old}, {"M": new})):
        return
    source = new if new is not None else old or {}
    view = table.stream_view
    record: dict[str, Any] = {
        "name": "REMOVE" if new is None else "INSERT" if old is None else "MODIFY",
        "time": tx.now_ms,
        "keys": table.key_image(source),
        "view": view,
    }
    if old is not None and view in ("OLD_IMAGE", "NEW_AND_OLD_IMAGES"):
        record["old"] = old
    if new is not None and view in ("NEW_IMAGE", "NEW_AND_OLD_IMAGES"):
        record["new"] = new
    record["size"] = sum(item_size(record[m]) for m in ("keys", "old", "new") if m in record)
    if by_service:
        record["by"] = SERVICE
    tx.change(table.stream_topic, orjson.dumps(record))
