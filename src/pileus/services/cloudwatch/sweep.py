"""Old points become coarser, and are forgotten: each node's, and the copies it keeps of others'."""

from __future__ import annotations

import asyncio
import logging

from pileus.errors import Unavailable
from pileus.services.cloudwatch.room import Room

log = logging.getLogger(__name__)
EVERY_S = 3600.0


async def forever(room: Room) -> None:
    """Once an hour."""
    while True:
        await room.clock.sleep(EVERY_S)
        try:
            await asyncio.to_thread(all_stores, room, int(room.now_s()))
        except Unavailable as error:
            log.warning("old data points are swept later: %s", error)


def all_stores(room: Room, now_s: int) -> None:
    """Sweep them once. Blocking."""
    for points in room.across.stores():
        points.sweep(now_s)
