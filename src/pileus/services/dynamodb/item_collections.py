"""Item collections: how many bytes each partition of a table with local indexes holds.

All items of one partition key and their entries in local indexes are an item collection; it may
hold 10 GB (Developer Guide, "Local secondary indexes", "Item collection size limit"). A row of the
state table ``d:<id>:sizes`` keeps the bytes of each, changed in the entry that changes the item.
Tables without local indexes have no such rows and pay nothing.
"""

from __future__ import annotations

from typing import Any

from pileus.errors import AwsError
from pileus.services.dynamodb.addresses import key_bytes
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.values import ITEM_BYTES_MAX, Item, item_size
from pileus.state import keys
from pileus.state.tx import Tx

GIGABYTE = 1024**3
COLLECTION_BYTES_MAX = 10 * GIGABYTE


def size_key(table: Table, item: Item) -> bytes:
    """The row that keeps the bytes of the collection an item (or its key) belongs to."""
    value = item[table.hash_name][table.hash_type]
    return keys.key(table.sizes, key_bytes(table.hash_type, value))


def weigh(table: Table, item: Item | None) -> int:
    """Bytes of an item and its entries in local indexes."""
    if item is None:
        return 0
    whole = total = item_size(item)
    for index in table.indexes:
        if index.local and all(name in item for name, _ in index.range):
            total += whole if index.projected is None else item_size(index.image(item))
    return total


def grow(tx: Tx, table: Table, old: Item | None, new: Item | None) -> None:
    """Count a change. One that makes a collection larger than it may be is refused:
    ``AwsError`` ItemCollectionSizeLimitExceededException. So is an item that is larger than one may
    be with its entries in local indexes (Developer Guide, "Quotas", item size)."""
    weight = weigh(table, new)
    if weight > ITEM_BYTES_MAX:
        raise invalid("Item size has exceeded the maximum allowed size")
    more = weight - weigh(table, old)
    source = new if new is not None else old
    if not more or source is None:
        return
    row = size_key(table, source)
    total = int(tx.get(row) or b"0") + more
    if more > 0 and total > COLLECTION_BYTES_MAX:
        raise AwsError("ItemCollectionSizeLimitExceededException", "Collection size exceeded.")
    if total > 0:
        tx.put(row, b"%d" % total)
    else:
        tx.delete(row)


def collection_metrics(store: Any, table: Table, item: Item) -> dict[str, Any] | None:
    """ItemCollectionMetrics of the collection of ``item``; None for a table that has none."""
    if not table.sizes:
        return None
    whole = int(store.get(size_key(table, item)) or b"0") // GIGABYTE
    return {
        "ItemCollectionKey": {table.hash_name: item[table.hash_name]},
        "SizeEstimateRangeGB": [float(whole), float(whole + 1)],
    }
