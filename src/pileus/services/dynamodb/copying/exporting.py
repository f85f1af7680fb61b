"""The job that exports a table: its items as of a moment, or what changed between two.

A run that dies is done again, to objects of the same names. The summary is written last.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import orjson

from pileus.services.dynamodb import schema
from pileus.services.dynamodb.catalog import meta_key
from pileus.services.dynamodb.copying import ion
from pileus.services.dynamodb.copying.bucket import Bucket
from pileus.services.dynamodb.copying.changed import Changed, changed
from pileus.services.dynamodb.copying.chosen import Chosen
from pileus.services.dynamodb.copying.datafiles import DataFiles
from pileus.services.dynamodb.copying.jobs import Failed, job_key
from pileus.services.dynamodb.copying.records import place_at
from pileus.services.dynamodb.copying.snapshot import Items
from pileus.services.dynamodb.copying.taking import end_copy, recorded, walk_at
from pileus.services.dynamodb.schema import Table
from pileus.services.dynamodb.transfers import EXPORT, row_key, tell
from pileus.services.dynamodb.values import item_size

Lines = tuple[list[bytes], int]  # and the size of their items


class Exporting:
    """The kind ``export``."""

    def __init__(self, room: Any) -> None:
        self._room = room

    async def export(self, work: dict[str, Any]) -> None:
        """``{"table": [scope, name, id], "moments": [ms] or [from ms, to ms], "caller": principal,
        "region": name, "files": how many data files were begun}``"""
        room = self._room
        key = row_key(EXPORT, work["table"][0], work["job"])
        told = room.store.get_json(key)["description"]
        bucket = Bucket(room, work, told["S3Bucket"], told.get("S3BucketOwner", ""))
        files = DataFiles(bucket, told, lambda number: self._note(work, number + 1))
        await files.start()
        size = 0
        whole = told["ExportType"] == "FULL_EXPORT"
        source = self._items(work, told) if whole else self._changes(work, told)
        async for lines, bytes_of_items in source:
            await files.add(lines)
            size += bytes_of_items
        manifest = await files.close(work.get("files", 0))
        end_ms = room.clock.now_ms()
        await files.summarise(manifest, end_ms, size)
        done = {
            "ExportStatus": "COMPLETED",
            "EndTime": end_ms / 1000,
            "ExportManifest": manifest,
            "BilledSizeBytes": size,
            "ItemCount": files.items,
        }
        await self._finish(work, key, done)

    async def _items(self, work: dict[str, Any], told: dict[str, Any]) -> AsyncIterator[Lines]:
        walk = await walk_at(self._room, work, work["moments"][0])
        lines: Callable[[Items], Lines] = _whole
        if told["ExportFormat"] == "ION" or "FilterSpecification" in told:
            chosen = Chosen(self._table(work), told.get("FilterSpecification", {}))
            lines = partial(_chosen, chosen, told["ExportFormat"])
        try:
            async for items in walk.items():
                yield await asyncio.to_thread(lines, items)
        finally:
            walk.close()

    async def _changes(self, work: dict[str, Any], told: dict[str, Any]) -> AsyncIterator[Lines]:
        rows, history, end = recorded(self._room, work)
        # From a moment on, until just before another (IncrementalExportSpecification).
        places = [await place_at(self._room, history, ms - 1, end) for ms in work["moments"]]
        table = self._table(work)
        both = told["IncrementalExportSpecification"]["ExportViewType"] == "NEW_AND_OLD_IMAGES"
        async for found in changed(self._room, rows, history, *places):
            yield await asyncio.to_thread(_differences, table, found, both, told["ExportFormat"])

    def _table(self, work: dict[str, Any]) -> Table:
        scope, name, _ = work["table"]
        key = meta_key(scope, name)
        return schema.parse(key, self._room.store.get(key))

    async def _note(self, work: dict[str, Any], files: int) -> None:
        if files <= work.get("files", 0):
            return
        key = job_key("export", work["job"])

        def note(draft: Any) -> None:
            row = draft.get_json(key)
            if row is not None:
                draft.put_json(key, {**row, "files": files})

        await self._room.store.transact(note)

    async def give_up(self, work: dict[str, Any], failed: Failed) -> None:
        """An export that cannot be made says why."""
        key = row_key(EXPORT, work["table"][0], work["job"])
        told = {
            "ExportStatus": "FAILED",
            "EndTime": self._room.clock.now_ms() / 1000,
            "FailureCode": failed.code,
            "FailureMessage": failed.message,
        }
        await self._finish(work, key, told)

    async def _finish(self, work: dict[str, Any], key: bytes, told: dict[str, Any]) -> None:
        def finish(draft: Any) -> None:
            tell(draft, key, told)
            end_copy(draft, work)
            draft.delete(job_key("export", work["job"]))

        await self._room.store.transact(finish)


def _whole(items: Items) -> Lines:
    size = sum(item_size(orjson.loads(text)) for _, text in items)
    return [b'{"Item":' + text + b"}\n" for _, text in items], size


def _chosen(chosen: Chosen, form: str, items: Items) -> Lines:
    found = [chosen.of(orjson.loads(text)) for _, text in items]
    left = [item for item in found if item is not None]
    write = ion.line if form == "ION" else _json
    return [write({"Item": item}) for item in left], sum(map(item_size, left))


def _json(members: dict[str, Any]) -> bytes:
    return orjson.dumps(members) + b"\n"


def _differences(table: Table, found: list[Changed], both: bool, form: str) -> Lines:
    lines, size = [], 0
    for one in found:
        texts = {"OldImage": one.old if both else None, "NewImage": one.new}
        shown = {name: orjson.loads(t) for name, t in texts.items() if t is not None}
        kept = table.key_image(orjson.loads(one.new or one.old or b"{}"))
        size += sum(item_size(image) for image in (kept, *shown.values()))
        metadata = {"WriteTimestampMicros": {"N": str(one.at_ms * 1000)}}
        if form == "ION":
            members = {"Keys": kept, "Metadata": metadata, **shown}
            lines.append(ion.line({"Record": {n: {"M": m} for n, m in members.items()}}))
        else:
            lines.append(_json({"Metadata": metadata, "Keys": kept, **shown}))
    return lines, size
