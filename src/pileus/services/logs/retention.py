"""Retention: PutRetentionPolicy, DeleteRetentionPolicy, and the sweep that enforces it.

https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutRetentionPolicy.html
"""

from __future__ import annotations

import asyncio
import contextlib
import logging

import orjson

from pileus.errors import Unavailable
from pileus.services.call import Call
from pileus.services.logs import rows
from pileus.services.logs.events import Events
from pileus.services.logs.put import DAY_MS
from pileus.services.logs.room import Room
from pileus.state import keys

DAYS = (
    1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557, 2922,
    3288, 3653,
)  # fmt: skip
SWEEP_EVERY_S = 600.0

log = logging.getLogger(__name__)


async def put_retention_policy(room: Room, call: Call) -> None:
    days = call.params["retentionInDays"]
    if days not in DAYS:
        raise rows.invalid(
            f"1 validation error detected: Value '{days}' at 'retentionInDays' failed to satisfy"
            f" constraint: Member must satisfy enum value set: [{', '.join(map(str, DAYS))}]"
        )
    await room.edit_group(call, lambda group: group.update(retention=days))
    room.wake_sweep()


async def delete_retention_policy(room: Room, call: Call) -> None:
    await room.edit_group(call, lambda group: group.update(retention=None))


async def sweep_forever(room: Room) -> None:
    """Every ten minutes, and soon after a group was deleted or a policy set."""
    while True:
        room.sweep_wanted.clear()
        try:
            await sweep(room)
        except Unavailable as error:
            log.warning("log sweep put off: %s", error)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(room.sweep_wanted.wait(), SWEEP_EVERY_S)


async def sweep(room: Room) -> None:
    """Remove events past their group's retention, and what deleted groups left behind: this node's
    and the copies it keeps of others'."""
    for events in await asyncio.to_thread(lambda: list(room.across.stores())):
        await _sweep_store(room, events)
    await _drop_orphan_streams(room)


async def _sweep_store(room: Room, events: Events) -> None:
    now_ms = room.clock.now_ms()
    stored = set(await asyncio.to_thread(events.bytes_by_group))
    # Groups are read after the stored ids: a group made meanwhile is not taken for a deleted one.
    retention = _retentions(room)
    for group, days in retention.items():
        if days:
            await asyncio.to_thread(events.drop_before, group, now_ms - days * DAY_MS)
    for group in stored & set(retention):
        await _drop_unnamed(room, events, group)
    for group in stored - set(retention):
        await asyncio.to_thread(events.drop_group, group)


async def _drop_unnamed(room: Room, events: Events, group: int) -> None:
    """Events of streams that were deleted through another node. Stored ids are read first: a
    stream made meanwhile is not taken for a deleted one."""
    stored = await asyncio.to_thread(events.streams, group)
    start, end = rows.span("logstreams", str(group), "", "")
    named = {orjson.loads(row.value)["id"] for row in room.store.range(start, end, 1_000_000)}
    for stream in stored:
        if stream not in named:
            events.drop_stream(stream)


def _retentions(room: Room) -> dict[int, int | None]:
    """Group id → days, of every group there is."""
    prefix = keys.table_prefix("logs")
    found = room.store.range(prefix, keys.after_prefix(prefix), 1_000_000)
    groups = (orjson.loads(row.value) for row in found)
    return {group["id"]: group["retention"] for group in groups}


async def _drop_orphan_streams(room: Room) -> None:
    """Stream rows whose group is gone, a thousand to an entry."""
    prefix = keys.table_prefix("logstreams")
    start, end = prefix, keys.after_prefix(prefix)
    while True:
        found = room.store.range(start, end, 1000)
        groups = _retentions(room)  # after the streams: a stream's group was there before it
        gone = [[r.key, None] for r in found if int(keys.split(r.key)[1]) not in groups]
        if gone:
            await room.store.submit("write", gone)
        if len(found) < 1000:
            return
        start = found[-1].key + b"\x00"
