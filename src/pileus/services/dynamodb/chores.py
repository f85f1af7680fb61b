"""Background work of one process: fill new indexes, empty deleted tables, expire items, count.

Everything is resumable: what is to be done stands in rows (an index that is CREATING, a row in
``dynamodb.gone``, a table's TTL attribute), so a chore that dies is taken up again at the next
start. Long walks go in slices with pauses, and give way to requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import orjson

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.services.dynamodb import stream_rows, transfers
from pileus.services.dynamodb.backups import DAY_MS, expire_backups
from pileus.services.dynamodb.catalog import META
from pileus.services.dynamodb.copying import records
from pileus.services.dynamodb.copying.exporting import Exporting
from pileus.services.dynamodb.copying.importing import Importing
from pileus.services.dynamodb.copying.jobs import Jobs, Kind
from pileus.services.dynamodb.copying.loading import Loading
from pileus.services.dynamodb.copying.taking import Taking
from pileus.services.dynamodb.counting import DIRECT_ROWS_MAX, count_key
from pileus.services.dynamodb.delete_table import GONE
from pileus.services.dynamodb.history import past
from pileus.services.dynamodb.room import Room
from pileus.services.dynamodb.rules import expired
from pileus.services.dynamodb.schema import Index, Table
from pileus.services.dynamodb.transact_write_items import TOKENS, tokens_of
from pileus.services.dynamodb.transacting import TOKEN_MS
from pileus.services.dynamodb.values import item_size
from pileus.state import keys
from pileus.state.tx import Row

TICK_S = 0.25
SWEEP_EVERY_S = 60.0
SWEEP_FIRST_S = 5.0  # after a start, lest a process that dies each minute never sweeps
HISTORY_EVERY_S = 2.0
COUNT_EVERY_S = 600.0
MARGIN_MS = 60_000
SLICE_ROWS = 200
PURGE_ROWS = 500
PAUSE_FACTOR = 20  # a walk rests this many times as long as it works

log = logging.getLogger(__name__)


class Chores:
    """The loop. ``start`` and ``stop`` belong to the service; ``settle`` is for tests."""

    def __init__(self, room: Room) -> None:
        self.room = room
        self._tasks: list[asyncio.Task[None]] = []
        self._fills: dict[str, asyncio.Task[None]] = {}
        self._seen = self._emptied = -1
        self._counted: dict[str, int] = {}
        taking, loading = Taking(room), Loading(room)
        exporting, importing = Exporting(room), Importing(room)
        self.jobs = Jobs(
            room,
            {
                "backup": Kind(taking.take, taking.give_up),
                "drop": Kind(taking.drop, taking.drop),
                "restore": Kind(loading.restore, loading.give_up),
                "export": Kind(exporting.export, exporting.give_up),
                "import": Kind(importing.run, importing.give_up),
            },
        )

    async def start(self) -> None:
        self._seen = self._emptied = -1  # another node may have had the work meanwhile
        self._tasks = [
            asyncio.create_task(self._loop(self.fill, TICK_S)),
            asyncio.create_task(self._loop(self.purge, TICK_S)),
            asyncio.create_task(self._loop(self.sweep, SWEEP_EVERY_S, SWEEP_FIRST_S)),
            asyncio.create_task(self._loop(self.count, COUNT_EVERY_S)),
            asyncio.create_task(self._loop(self.jobs.settle, TICK_S)),
            asyncio.create_task(self._loop(self.keep_history, HISTORY_EVERY_S)),
        ]

    async def stop(self) -> None:
        tasks = [*self._tasks, *self._fills.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.jobs.stop()

    async def _loop(self, chore: Any, every_s: float, first_s: float | None = None) -> None:
        wait_s = every_s if first_s is None else first_s
        while True:
            await self.room.clock.sleep(wait_s)
            wait_s = every_s
            try:
                await chore()
            except (AwsError, Conflict, Unavailable) as error:
                # The table went away, or the disk is full: the rows still say what is to be done.
                log.warning("dynamodb: %s put off: %s", chore.__name__, error)

    # -- indexes and deleted tables -----------------------------------------------------------

    async def settle(self) -> None:
        """Do all that is to be done now, to its end."""
        await self.fill()
        await self.purge()
        await asyncio.gather(*self._fills.values())

    async def fill(self) -> None:
        """Begin to fill the indexes that are CREATING, side by side: none waits for a large one."""
        now = self.room.store.generation(META)
        if now == self._seen:
            return
        for table in self.room.tables.all():
            for index in table.indexes:
                if not index.ready and index.rows not in self._fills:
                    filling = self._fill_or_put_off(table, index)
                    self._fills[index.rows] = asyncio.create_task(filling)
        self._seen = now

    async def _fill_or_put_off(self, table: Table, index: Index) -> None:
        try:
            await self._fill(table, index)
        except (AwsError, Conflict, Unavailable) as error:
            log.warning("dynamodb: filling of %s put off: %s", index.name, error)
            self._seen = -1  # the next round takes it up again
        finally:
            del self._fills[index.rows]

    async def _fill(self, table: Table, index: Index) -> None:
        """Fill what is left of an index, slice by slice, resting as long as it works."""
        clock = self.room.clock
        await self._show(table, index, {"Backfilling": True})
        more = True
        while more:
            began = clock.monotonic()
            args = [table.meta_key, table.id, index.rows]
            more = await self.room.store.submit("dynamodb.fill", args)
            await clock.sleep(min(1.0, clock.monotonic() - began))
        await self._show(table, index, {"IndexStatus": "ACTIVE"})

    async def _show(self, table: Table, index: Index, state: dict[str, Any]) -> None:
        """Let the index's description say so."""

        def show(draft: Any) -> None:
            row = draft.get_json(table.meta_key)
            if row is None or row["id"] != table.id:
                return
            for member in row.get("GlobalSecondaryIndexes", ()):
                here = index.rows == f"{table.rows}:{member['id']}"
                if here and any(member.get(k) != v for k, v in state.items()):
                    member.pop("Backfilling", None)
                    member.update(state)
                    draft.put_json(table.meta_key, row)

        await self.room.store.transact(show)

    async def purge(self) -> None:
        """Empty the state tables of what was deleted."""
        store = self.room.store
        now = store.generation(GONE)
        if now == self._emptied:
            return
        for row in store.partition(GONE, "gone"):
            rows = keys.split(row.key)[2].decode()
            if rows.endswith(past("")):
                args = [rows.removesuffix(past("")), None, PURGE_ROWS]
                while await store.submit("dynamodb.unseal", args) == PURGE_ROWS:
                    await self.room.clock.sleep(0.01)
            while await store.submit("dynamodb.purge", [rows, PURGE_ROWS]) == PURGE_ROWS:
                await self.room.clock.sleep(0.01)
            await store.submit("write", [[row.key, None], [count_key(rows), None]])
        self._emptied = now

    # -- history -------------------------------------------------------------------------------

    async def keep_history(self) -> None:
        """Seal full stretches of history; forget what is past the recovery period; delete backups
        that have expired."""
        room = self.room
        for table in room.tables.all():
            pitr = table.description.get("pitr")
            if table.history:
                await records.seal(room, table.history)
            if pitr and not table.description.get("copies"):
                # A moment that may still be asked for is kept until the asking is through.
                limit_ms = room.clock.now_ms() - pitr["days"] * DAY_MS - MARGIN_MS
                if records.due(room, table.history, limit_ms):
                    await records.trim(room, table.history, limit_ms)
        await expire_backups(room)

    # -- walks --------------------------------------------------------------------------------

    async def _slices(self, start: bytes, end: bytes) -> AsyncIterator[list[Row]]:
        clock = self.room.clock
        while True:
            began = clock.monotonic()
            rows = self.room.store.range(start, end, SLICE_ROWS)
            if rows:
                yield rows
            if len(rows) < SLICE_ROWS:
                return
            start = rows[-1].key + b"\x00"
            await clock.sleep(min(1.0, PAUSE_FACTOR * (clock.monotonic() - began)))

    async def sweep(self) -> None:
        """Delete items whose time is up, and tokens and reports that are no longer needed."""
        for table in self.room.tables.all():
            attribute = table.description.get("ttl")
            if attribute:
                await self._expire(table, attribute)
        await stream_rows.keep(self.room)
        await transfers.forget(self.room)
        await self._forget_tokens(TOKENS)
        if self.room.store.tablets.count > 1:
            for table in self.room.tables.all():
                await self._forget_tokens(tokens_of(table.id))

    async def _forget_tokens(self, table: str) -> None:
        prefix = keys.table_prefix(table)
        limit_ms = self.room.clock.now_ms() - TOKEN_MS
        async for rows in self._slices(prefix, keys.after_prefix(prefix)):
            old = [[r.key, None] for r in rows if orjson.loads(r.value)[1] < limit_ms]
            if old:
                await self.room.store.submit("write", old)

    async def _expire(self, table: Table, attribute: str) -> None:
        end = keys.after_prefix(table.rows_prefix)
        marker = orjson.dumps(attribute)
        async for rows in self._slices(table.rows_prefix, end):
            now_s = self.room.clock.now_ms() // 1000
            due = [
                r.key
                for r in rows
                if marker in r.value and expired(orjson.loads(r.value).get(attribute), now_s)
            ]
            if due:
                args = [table.meta_key, table.id, attribute, now_s, due]
                await self.room.store.submit("dynamodb.expire", args)

    async def count(self) -> None:
        """Count the rows of large tables and indexes that changed since the last count."""
        for table in self.room.tables.all():
            for rows in (table.rows, *(i.rows for i in table.indexes)):
                generation = self.room.store.generation(rows)
                if self._counted.get(rows) != generation:
                    await self._count(rows)
                    self._counted[rows] = generation

    async def _count(self, rows: str) -> None:
        prefix = keys.table_prefix(rows)
        items = size = 0
        async for found in self._slices(prefix, keys.after_prefix(prefix)):
            items += len(found)
            size += sum(item_size(orjson.loads(r.value)) for r in found)
        if items > DIRECT_ROWS_MAX:
            value = orjson.dumps([items, size])
            await self.room.store.submit("write", [[count_key(rows), value]])
