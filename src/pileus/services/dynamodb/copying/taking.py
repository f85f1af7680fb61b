"""The job that makes a backup, and the one that drops a deleted one's bytes.

A backup is the table at the sequence number of the entry that promised it (its mark's version). A
job that dies half-way begins the copy again, of the same place: the table is recorded until the
backup is there.
"""

from __future__ import annotations

from typing import Any

from pileus.services.dynamodb import history
from pileus.services.dynamodb.backups import backup_key
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.copying import chunks
from pileus.services.dynamodb.copying.jobs import Failed, job_key
from pileus.services.dynamodb.copying.records import place_at
from pileus.services.dynamodb.copying.snapshot import Walk
from pileus.services.dynamodb.delete_table import gone_key


def end_copy(draft: Any, work: dict[str, Any]) -> None:
    """In a job's last entry: the source table need no longer be recorded for it."""
    scope, name, table_id = work["table"]
    row = draft.get_json(meta_key(scope, name))
    if row is not None and row["id"] == table_id and work["job"] in row.get("copies", ()):
        for rows in history.end(draft, row, work["job"]):
            draft.put(gone_key(rows), b"")
        draft.put_json(meta_key(scope, name), row)


def recorded(room: Any, work: dict[str, Any]) -> tuple[str, str, bytes]:
    """The source table's rows, its history, and the place just after the job was promised."""
    scope, name, table_id = work["table"]
    row = room.store.get_json(meta_key(scope, name))
    rows = f"d:{table_id}"
    if row is None or row["id"] != table_id:
        raise Failed("TableNotFoundException", f"Table not found: {name}")
    mark = history.mark_of(room.store, table_id, work["job"])
    return rows, f"{rows}:{row['history']}", history.place_after(mark.version)


def walk(room: Any, work: dict[str, Any]) -> Walk:
    """The source table as of the job's mark; of one that was deleted as it was left."""
    if "gone" in work:
        return Walk(room, f"d:{work['table'][2]}", "", b"")
    return Walk(room, *recorded(room, work))


async def walk_at(room: Any, work: dict[str, Any], at_ms: int) -> Walk:
    """The source table as of a moment."""
    rows, past, end = recorded(room, work)
    return Walk(room, rows, past, await place_at(room, past, at_ms, end))


class Taking:
    """The kinds ``backup`` and ``drop``."""

    def __init__(self, room: Any) -> None:
        self._room = room

    async def take(self, work: dict[str, Any]) -> None:
        """``{"backup": [scope, id], "table": [scope, name, id], "gone": state tables to be emptied
        afterwards (of a table that was deleted)}``"""
        room = self._room
        backup_id = work["job"]
        await chunks.drop(room, backup_id)  # what a run that died has left
        source = walk(room, work)
        writer = chunks.Writer(room, backup_id)
        try:
            async for items in source.items():
                await writer.add(items)
            await writer.close()
        finally:
            source.close()
        count, size = chunks.totals(room.store, backup_id)
        key = backup_key(*work["backup"])

        def finish(draft: Any) -> None:
            found = draft.get_json(key)
            if found is not None:
                found["details"] |= {"BackupStatus": "AVAILABLE", "BackupSizeBytes": size}
                draft.put_json(key, {**found, "items": count})
            self._end(draft, work)

        await room.store.transact(finish)

    async def give_up(self, work: dict[str, Any], failed: Failed) -> None:
        """A backup that cannot be made is no backup."""

        def finish(draft: Any) -> None:
            draft.delete(backup_key(*work["backup"]))
            self._end(draft, work)

        await chunks.drop(self._room, work["job"])
        await self._room.store.transact(finish)

    @staticmethod
    def _end(draft: Any, work: dict[str, Any]) -> None:
        end_copy(draft, work)
        for rows in work.get("gone", ()):
            draft.put(gone_key(rows), b"")
        draft.delete(job_key("backup", work["job"]))

    async def drop(self, work: dict[str, Any], failed: Failed | None = None) -> None:
        """Forget a deleted backup's chunks."""
        await chunks.drop(self._room, work["job"])
        await self._room.store.submit("write", [[job_key("drop", work["job"]), None]])
