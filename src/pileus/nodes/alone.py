"""The first node before there is a second: one machine's log, which becomes the cluster's.

A server of the log never leads alone (decisions/0006), so the embedded engine stays until the
second node's server answers. Then this node notes that its log is the cluster's from here on and
has its processes started again: the stream begins at the state's last entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from typing import Any

from pileus import control
from pileus.config import Config
from pileus.nodes import membership, places
from pileus.nodes.beats import Judgement
from pileus.nodes.members import Members
from pileus.nodes.places import CLUSTER, Node

log = logging.getLogger("pileus.nodes")
LOOK_S = 0.3
CONNECT_S = 1.0
Step = Callable[[], Awaitable[None]]


class Alone:
    """Runs in the first front process of a founded home on the embedded engine."""

    def __init__(self, config: Config, members: Members, store: Any, clock: Any) -> None:
        self._config = config
        self._members = members
        self._store = store
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    async def start(self, begin: Step, cease: Step) -> None:
        """All work is this node's."""
        cluster = self._members.started
        await self._store.transact(lambda draft: membership.found(draft, cluster))
        await self._store.transact(lambda draft: membership.arrive(draft, cluster.here))
        seen = Judgement("alive", self._clock.now_ms(), 0, ("background",))
        told = self._config.path("run", "nodes.json")
        told.write_text(json.dumps({cluster.name: asdict(seen)}))
        await begin()
        self._task = asyncio.create_task(self._wait_for_second(), name="second node")

    async def announce(self) -> None:
        """There is nobody to tell."""

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _wait_for_second(self) -> None:
        while True:
            for node in self._members.cluster.peers:
                if await _answers(node):
                    await asyncio.to_thread(self._become_cluster, node)
                    return
            await self._clock.sleep(LOOK_S)

    def _become_cluster(self, second: Node) -> None:
        log.info("%s is there: the log of this machine becomes the cluster's", second.name)
        places.save(self._config.home, replace(self._members.cluster, engine=CLUSTER))
        run = self._config.path("run")
        fronts = [part.name for part in control.read(run) if part.name.startswith("front-")]
        for verb, part in (("start", "log"), *(("restart", name) for name in reversed(fronts))):
            refused = control.ask(run, verb, part)  # this process, front-0, comes last
            if refused:
                log.error("%s cannot be started: %s", part, refused)


async def _answers(node: Node) -> bool:
    """Whether the node's log server is up."""
    try:
        async with asyncio.timeout(CONNECT_S):
            _, writer = await asyncio.open_connection(node.address, node.log_route_port)
    except (OSError, TimeoutError):
        return False
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return True
