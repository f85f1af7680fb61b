"""Long-running services: a zip with a command, kept running in the jail, with a route or a port."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts
from pileus.services.logship import LogShip
from pileus.services.longrunning import operations
from pileus.services.longrunning.access import access
from pileus.services.longrunning.api import ApiDoor
from pileus.services.longrunning.describe import Describer
from pileus.services.longrunning.door import Door
from pileus.services.longrunning.keeper import Keeper
from pileus.services.longrunning.operations import Room
from pileus.services.longrunning.placing import OneMachine, Placer
from pileus.services.service import Service

__all__ = ["ApiDoor", "Door", "build"]

OPERATIONS: dict[str, Callable[[Room, Call], Any]] = {
    "CreateService": operations.create_service,
    "DescribeServices": operations.describe_services,
    "ListServices": operations.list_services,
    "UpdateService": operations.update_service,
    "DeleteService": operations.delete_service,
    "RestartService": operations.restart_service,
    "StopService": operations.stop_service,
    "StartService": operations.start_service,
}


def build(parts: Parts) -> Service:
    """The service, named ``pileus``; its doors are ``ApiDoor`` and ``Door``. What should run the
    background process tells its node's runtime."""
    nodes = parts.nodes or OneMachine()
    room = Room(parts, Describer(parts, nodes), nodes)
    ship = LogShip(parts.dispatch)
    keeper = Keeper(parts, ship, nodes)
    placer = Placer(parts.store, nodes)
    placing: list[asyncio.Task[None]] = []

    async def start() -> None:
        if parts.background:
            ship.start()
            keeper.start()

    async def stop() -> None:
        if parts.background:
            await keeper.stop()
            await ship.stop()

    async def begin() -> None:
        placing.append(asyncio.create_task(placer.run(), name="services-placer"))

    async def cease() -> None:
        while placing:
            task = placing.pop()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    return Service(
        "pileus",
        {name: partial(function, room) for name, function in OPERATIONS.items()},
        access,
        start=start,
        stop=stop,
        begin=begin,
        cease=cease,
    )
