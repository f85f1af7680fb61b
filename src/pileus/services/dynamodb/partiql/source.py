"""Which table and index a statement names."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.faults import invalid
from pileus.services.dynamodb.partiql.syntax import Source
from pileus.services.dynamodb.schema import Index, Table


def table_of(room: Any, call: Call, source: Source) -> Table:
    """The table; ResourceNotFoundException when there is none."""
    found: Table = room.table(call, source.steps[0])
    return found


def index_of(table: Table, source: Source, consistent: bool) -> Index | None:
    """The index of a read; it must exist, be filled, and allow the consistency asked."""
    if len(source.steps) == 1:
        return None
    index = table.by_name.get(source.steps[1])
    if index is None:
        raise invalid("The table does not have the specified index")
    if len(index.hash) > 1 or len(index.range) > 1:
        raise invalid(
            "PartiQL statements are not supported on an index whose key has more than one"
            f" partition or sort key attribute: {index.name}"
        )
    if consistent and not index.local:
        raise invalid("Strongly consistent read is not supported on Global Secondary Indexes")
    if not index.ready:
        raise invalid(f"Cannot read from backfilling global secondary index: {index.name}")
    return index


def refuse_index(source: Source) -> None:
    """Writes are on tables alone."""
    if len(source.steps) > 1:
        raise invalid("This operation is not supported on an index")
