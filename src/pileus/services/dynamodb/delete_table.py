"""DeleteTable: the table is gone at once, its rows follow in the background."""

from __future__ import annotations

from typing import Any

from pileus.services.call import Call
from pileus.services.dynamodb import history
from pileus.services.dynamodb.backups import (
    DAY_MS,
    SYSTEM_DAYS,
    new_details,
    new_id,
    record,
)
from pileus.services.dynamodb.describe_table import describe
from pileus.services.dynamodb.faults import in_use, invalid, table_not_found
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.transact_write_items import tokens_of
from pileus.state import keys

GONE = "dynamodb.gone"
CLOSED = "dynamodb.streams"


def gone_key(rows: str) -> bytes:
    """The row that says: state table (or change topic) ``rows`` is to be emptied."""
    return keys.key(GONE, "gone", rows)


def check_idle(row: dict[str, Any]) -> None:
    """ResourceInUseException for a table that is being made or copied."""
    if row["TableStatus"] == "CREATING":
        raise in_use(
            "Attempt to change a resource which is still in use: Table is being created:"
            f" {row['TableName']}"
        )
    if row.get("copies"):
        raise in_use(
            "Attempt to change a resource which is still in use: Table is being backed up,"
            f" exported or restored from: {row['TableName']}"
        )


def check_indexes(row: dict[str, Any]) -> None:
    """ResourceInUseException for a table of which an index is being made."""
    for index in row.get("GlobalSecondaryIndexes", ()):
        if index["IndexStatus"] != "ACTIVE":
            raise in_use(
                "Attempt to change a resource which is still in use: Cannot delete table while"
                " indexes are being created, updated, or deleted."
            )


def _keep(draft: Any, table: Table, row: dict[str, Any], backup_id: str, at_ms: int) -> None:
    """A table with point-in-time recovery leaves a backup for 35 days, as on AWS. Its items go
    when that is made."""
    details = new_details(row, backup_id, f"{table.name}$DeletedTableBackup", at_ms)
    details["BackupType"] = "SYSTEM"
    details["BackupExpiryDateTime"] = (at_ms + SYSTEM_DAYS * DAY_MS) / 1000
    record(draft, keys.split(table.meta_key)[1].decode(), details, row, gone=[table.rows])


def _close_streams(draft: Any, table: Table, row: dict[str, Any], at_ms: int) -> None:
    """A deleted table's streams are closed and can be read for a day more."""
    scope = keys.split(table.meta_key)[1]
    for stream in row.get("streams", ()):
        left = {m: row[m] for m in ("TableName", "TableArn", "KeySchema", "id")}
        left["streams"] = [{"until_ms": at_ms, **stream}]
        draft.put_json(keys.key(CLOSED, scope, f"{table.name}/{stream['label']}"), left)


async def delete_table(room: Room, call: Call, p: dict[str, Any]) -> dict[str, Any]:
    """Delete a table with its items and indexes."""
    name = p["TableName"]
    table = room.tables.describe(call.account, call.region, name)
    shown = describe(room, table.description)
    backup_id = new_id(room)

    def delete(draft: Any) -> None:
        row = draft.get_json(table.meta_key)
        if row is None:
            raise table_not_found(name)
        if row.get("DeletionProtectionEnabled"):
            raise invalid(
                "Resource cannot be deleted as it is currently protected against deletion."
                " Disable deletion protection first."
            )
        check_idle(row)
        check_indexes(row)
        draft.delete(table.meta_key)
        _close_streams(draft, table, row, room.clock.now_ms())
        for rows in (*table.kept_rows, *history.histories(row)):
            draft.put(gone_key(rows), b"")
        if draft.several:
            draft.put(gone_key(tokens_of(table.id)), b"")
        if row.pop("pitr", None):
            _keep(draft, table, row, backup_id, room.clock.now_ms())
        else:
            draft.put(gone_key(table.rows), b"")

    await room.store.transact(delete, call.invocation_id)
    shown["TableStatus"] = "DELETING"
    for member in (
        *("AttributeDefinitions", "KeySchema", "CreationDateTime"),
        *("GlobalSecondaryIndexes", "LocalSecondaryIndexes", "WarmThroughput"),
    ):
        shown.pop(member, None)
    return {"TableDescription": shown}
