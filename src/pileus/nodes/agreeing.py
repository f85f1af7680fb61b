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
        """Raise the version to the newest that every node applies, in each shard's log; answers
        whether one was."""
        older = [s for s in self._store.shards if versions.in_force(s.rows) < self._own]
        if not older:
            return False
        wanted = min(self._beats.rules_of_all(self._members.names()), self._own)
        raised = False
        for shard in older:
            if versions.in_force(shard.rows) < wanted:
                # The first shard's is the store's own: it goes by the map as it is now.
                submit = shard.ask if shard.number else self._store.submit
                await submit(versions.SWITCH, wanted)
                raised = True
        if raised:
            log.info("rules of version %d are in force: every node knows them", wanted)
        return raised
