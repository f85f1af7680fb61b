"""Long-running services: a zip with a command, kept running in the jail, with a route or a port."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from pileus.services.call import Call, Parts, Service
from pileus.services.logship import LogShip
from pileus.services.longrunning import operations
from pileus.services.longrunning.access import access
from pileus.services.longrunning.api import ApiDoor
from pileus.services.longrunning.describe import Describer
from pileus.services.longrunning.door import Door
from pileus.services.longrunning.keeper import Keeper
from pileus.services.longrunning.operations import Room

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
    room = Room(parts, Describer(parts))
    ship = LogShip(parts.dispatch)
    keeper = Keeper(parts, ship)

    async def start() -> None:
        if parts.background:
            ship.start()
            keeper.start()

    async def stop() -> None:
        if parts.background:
            await keeper.stop()
            await ship.stop()

    return Service(
        "pileus",
        {name: partial(function, room) for name, function in OPERATIONS.items()},
        access,
        start=start,
        stop=stop,
    )
