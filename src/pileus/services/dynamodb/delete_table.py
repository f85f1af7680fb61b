"""DeleteTable: the table is gone at once, its rows follow in the background."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import invalid, table_not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import topic
from pileus.state import keys

GONE = "dynamodb.gone"


def gone_key(rows: str) -> bytes:
    """The row that says: state table (or change topic) ``rows`` is to be emptied."""
    return keys.key(GONE, "gone", rows)


async def delete_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Delete a table with its items and indexes."""
    name = p["TableName"]
    table = room.tables.describe(call.account, call.region, name)
    shown = describe(room, table.description)

    def delete(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise table_not_found(name)
        if row.get("DeletionProtectionEnabled"):
            raise invalid(
                "Resource cannot be deleted as it is currently protected against deletion."
                " Disable deletion protection first."
            )
        draft.delete(table.meta_key)
        streams = (topic(table.id, s["label"]) for s in row.get("streams", ()))
        for rows in (table.rows, *(i.rows for i in table.indexes), *streams):
            draft.put(gone_key(rows), b"")

    await room.store.transact(delete, call.invocation_id)
    shown["TableStatus"] = "DELETING"
    for member in (
        *("AttributeDefinitions", "KeySchema", "CreationDateTime"),
        *("GlobalSecondaryIndexes", "LocalSecondaryIndexes"),
    ):
        shown.pop(member, None)
    return {"TableDescription": shown}
