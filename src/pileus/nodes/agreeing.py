"""Nodes of two releases in one cluster: new rules come into force when all nodes know them.

Turned by the node that does the work for all. Each node's beats tell the version of its release's
rules (``state.versions``); a node that is down may have any release, so it is waited for. Until
then a newer release applies and writes entries under the older version.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.nodes.beats import Beats
from pileus.nodes.members import Members
from pileus.state import versions

log = logging.getLogger("pileus.nodes.agreeing")
TURN_S = 2.0


class Agreeing:
    """``own``: the version of this release's rules."""

    def __init__(self, store: Any, members: Members, beats: Beats, own: int) -> None:
        self._store = store
        self._members = members
        self._beats = beats
        self._own = own
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="rules")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        while True:
            try:
                await self.turn()
            except (Unavailable, Conflict, AwsError) as error:
                log.info("the rules stay as they are for now: %s", error)
            await asyncio.sleep(TURN_S)

    async def turn(self) -> bool:
        """Raise the version to the newest that every node applies; answers whether it was."""
        if self._store.tablets.rules >= self._own:
            return False
        known = self._beats.rules_of_all(self._members.names())
        if known <= self._store.tablets.rules:
            return False
        await self._store.submit(versions.SWITCH, min(known, self._own))
        log.info("rules of version %d are in force: every node knows them", min(known, self._own))
        return True
