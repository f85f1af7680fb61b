"""The job that fills a restored table: from a backup's chunks, or from the source's past.

Nobody else can write to the table before it is ACTIVE, and loading an item twice is loading it
once: a job that died goes on at its chunk, or walks its source again.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from pileus.services.dynamodb import schema
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.copying import chunks
from pileus.services.dynamodb.copying.jobs import Failed, job_key
from pileus.services.dynamodb.copying.snapshot import Items
from pileus.services.dynamodb.copying.taking import end_copy, walk_at
from pileus.services.dynamodb.delete_table import gone_key
from pileus.services.dynamodb.schema import Table, sizes_of

ENTRY_BYTES = 256 * 1024
REST = 0.25  # most of its time it waits for the disk
REST_S_MAX = 0.5


class Loader:
    """Puts items into a table that is CREATING, in entries of a quarter megabyte."""

    def __init__(self, room: Any, table: Table) -> None:
        self._room = room
        self._table = table

    async def load(self, items: Items) -> None:
        """``items`` by their keys within the table."""
        clock = self._room.clock
        began = clock.monotonic()
        prefix, held, size = self._table.rows_prefix, [], 0
        for item, text in items:
            held.append([prefix + item, text])
            size += len(text)
            if size >= ENTRY_BYTES:
                await self._submit(held)
                held, size = [], 0
        if held:
            await self._submit(held)
        await clock.sleep(min(REST_S_MAX, REST * (clock.monotonic() - began)))

    async def _submit(self, held: list[list[bytes]]) -> None:
        table = self._table
        await self._room.store.submit("dynamodb.load", [table.meta_key, table.id, held])


def target(room: Any, work: dict[str, Any]) -> Table:
    """The table a job fills."""
    key = meta_key(*work["target"])
    text = room.store.get(key)
    if text is None or (table := schema.parse(key, text)).id != work["job"]:
        raise Failed("ResourceNotFoundException", f"Table not found: {work['target'][1]}")
    return table


class Loading:
    """The kind ``restore``."""

    def __init__(self, room: Any) -> None:
        self._room = room

    async def restore(self, work: dict[str, Any]) -> None:
        """``{"target": [scope, name]}`` and either ``"backup": ARN, "from": its row's key`` or
        ``"table": [scope, name, id], "at_ms": moment``"""
        table = target(self._room, work)
        loader = Loader(self._room, table)
        source = self._chunks(work) if "backup" in work else self._walk(work)
        async for items in source:
            await loader.load(items)

        def finish(draft: Any) -> None:
            row = draft.get_json(table.meta_key)
            if row is not None and row["id"] == table.id:
                row["TableStatus"] = "ACTIVE"
                row["RestoreSummary"]["RestoreInProgress"] = False
                draft.put_json(table.meta_key, row)
            self._end(draft, work)

        await self._room.store.transact(finish)

    async def _chunks(self, work: dict[str, Any]) -> AsyncIterator[Items]:
        done = work.get("done", 0)
        every = list(chunks.chunks(self._room.store, work["backup"].rpartition("/")[2]))
        for number, chunk in enumerate(every[done:], done + 1):
            yield await chunks.read(self._room, chunk)
            await self._note(work, number)

    async def _note(self, work: dict[str, Any], done: int) -> None:
        key = job_key("restore", work["job"])

        def note(draft: Any) -> None:
            row = draft.get_json(key)
            if row is not None:
                draft.put_json(key, {**row, "done": done})

        await self._room.store.transact(note)

    async def _walk(self, work: dict[str, Any]) -> AsyncIterator[Items]:
        walk = await walk_at(self._room, work, work["at_ms"])
        try:
            async for items in walk.items():
                yield items
        finally:
            walk.close()

    async def give_up(self, work: dict[str, Any], failed: Failed) -> None:
        """A table that cannot be restored goes, with what it holds."""

        def finish(draft: Any) -> None:
            key = meta_key(*work["target"])
            row = draft.get_json(key)
            if row is not None and row["id"] == work["job"]:
                draft.delete(key)
                for rows in state_tables(row):
                    draft.put(gone_key(rows), b"")
            self._end(draft, work)

        await self._room.store.transact(finish)

    @staticmethod
    def _end(draft: Any, work: dict[str, Any]) -> None:
        if "backup" in work:
            key = bytes.fromhex(work["from"])
            found = draft.get_json(key)
            if found is not None:
                found["restores"] = [j for j in found["restores"] if j != work["job"]]
                draft.put_json(key, found)
        else:
            end_copy(draft, work)
        draft.delete(job_key("restore", work["job"]))


def state_tables(row: dict[str, Any]) -> list[str]:
    """The state tables of a table's items and indexes."""
    rows = f"d:{row['id']}"
    members = ("GlobalSecondaryIndexes", "LocalSecondaryIndexes")
    return [
        rows,
        sizes_of(row["id"]),
        *(f"{rows}:{i['id']}" for m in members for i in row.get(m, ())),
    ]
