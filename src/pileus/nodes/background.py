"""The work that one node does for all (queues, consumers, sweeps), and who that is now.

A row names the node; it changes hands by an entry that raises its epoch. While a node has it,
nothing is written: that it lives is known from its beats. Another takes over when more than half
of the nodes hold the holder dead, when it drains or has gone. A holder that hears too few stops by
itself. Two may overlap for a moment after a partition: all this work is done at least once anyway,
and what its leases guard is refused to the older holder.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import orjson

from pileus.errors import AwsError, Conflict, Unavailable
from pileus.hub.lease import freed
from pileus.nodes import membership
from pileus.nodes.beats import Beats
from pileus.nodes.places import Node
from pileus.state import keys

log = logging.getLogger("pileus.nodes.background")
KEY = keys.key(membership.TABLE, "cluster", "background")
TURN_S = 0.25
Step = Callable[[], Awaitable[None]]


class Background:
    """One node's part in it: ``begin`` and ``cease`` start and stop the work here."""

    def __init__(
        self, store: Any, clock: Any, name: str, beats: Beats, begin: Step, cease: Step
    ) -> None:
        self._store = store
        self._clock = clock
        self._name = name
        self._beats = beats
        self._begin, self._cease = begin, cease
        self.working = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        self._task = asyncio.create_task(self._run(), name="background")

    async def stop(self) -> None:
        """Stop the work and let another node begin at once."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        await self._rest()
        try:
            async with asyncio.timeout(2):
                await self._store.transact(self._let_go)
        except (Unavailable, Conflict, TimeoutError) as error:
            log.info("the others will find out that this node is gone: %s", error)

    async def _run(self) -> None:
        while True:
            try:
                await self.turn()
            except (AwsError, Conflict, Unavailable, OSError) as error:
                log.warning("background work waits: %s", error)
            await self._clock.sleep(TURN_S)

    async def turn(self) -> None:
        """Look who has the work; take it, begin, stop or let go as that says."""
        nodes = [n for n in membership.nodes(self._store) if n.present]
        names = [n.name for n in nodes if n.state != "joining"]
        row = self._store.get_json(KEY) or {"node": "", "epoch": 0}
        mine = row["node"] == self._name
        fit = self._fit(nodes)
        if mine and self._beats.among_most(names) and (fit or not self._others(nodes)):
            await self._work()
            return
        await self._rest()
        if mine and self._beats.among_most(names):
            await self._store.transact(self._let_go)
        elif not mine and fit and self._free(row["node"], nodes, names):
            await self._store.transact(lambda draft: self._take(draft, row))

    def _fit(self, nodes: list[Node]) -> bool:
        return any(n.name == self._name and n.state == "member" for n in nodes)

    def _others(self, nodes: list[Node]) -> list[str]:
        """Who else could do it."""
        able = [n.name for n in nodes if n.state == "member" and n.name != self._name]
        judged = self._beats.judged(able)
        return [name for name in able if judged[name].health == "alive"]

    def _free(self, holder: str, nodes: list[Node], names: list[str]) -> bool:
        """Whether this node is to take the work: nobody has it, and no other is before it."""
        present = [n.name for n in nodes]
        if holder in present and not self._beats.held_dead(holder, names):
            return False
        first = min((name for name in self._others(nodes)), key=present.index, default=self._name)
        return present.index(self._name) < present.index(first) or first == self._name

    def _take(self, draft: Any, seen: dict[str, Any]) -> None:
        row = draft.get_json(KEY) or {"node": "", "epoch": 0}
        if row != seen:
            return
        told = {"node": self._name, "epoch": row["epoch"] + 1, "since_ms": draft.now_ms}
        draft.put_json(KEY, told)
        freed(draft, self._name)
        log.info("takes over the work for all from %s", row["node"] or "nobody")

    def _let_go(self, draft: Any) -> None:
        row = draft.get_json(KEY)
        if row is not None and row["node"] == self._name:
            draft.put_json(KEY, row | {"node": "", "epoch": row["epoch"] + 1})

    async def _work(self) -> None:
        if not self.working:
            self.working = True  # also when it fails half-way: what began must be stopped
            await self._begin()
            log.info("does the work for all now")

    async def _rest(self) -> None:
        if self.working:
            await self._cease()
            self.working = False
            log.info("does the work for all no more")


def holder(store: Any) -> str:
    """The node that does the work for all, as far as is known here."""
    row = store.get(KEY)
    return str(orjson.loads(row)["node"]) if row else ""
