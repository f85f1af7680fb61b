"""Which node runs which copy."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

from pileus.errors import Conflict, Unavailable
from pileus.services.longrunning import rows
from pileus.state.draft import Draft

HERE = "local"  # the name of the only node of a cloud on one machine
LOOK_S = 0.5

log = logging.getLogger(__name__)


class Nodes(Protocol):
    """The nodes as this one knows them."""

    @property
    def name(self) -> str:
        """This node."""
        ...

    def alive(self) -> list[str]:
        """Those that can take work, this one too."""
        ...

    def api(self, name: str) -> tuple[str, int] | None:
        """Host and port of a node's AWS endpoint."""
        ...


class OneMachine:
    """The nodes of a cloud that is no cluster."""

    name = HERE

    def alive(self) -> list[str]:
        return [HERE]

    def api(self, name: str) -> tuple[str, int] | None:
        return None


def place(name: str, copies: int, nodes: Sequence[str], had: Sequence[str] = ()) -> list[str]:
    """The node of each copy. ``nodes``: those that can run services; ``had``: where copies are:
    they stay where they can, as long as no node carries more than its share. Different services
    begin at different nodes."""
    if not nodes:
        return list(had)
    share = -(-copies // len(nodes))
    count: Counter[str] = Counter()
    for node in had:
        if node in nodes and count[node] < share and count.total() < copies:
            count[node] += 1
    ordered = sorted(nodes)
    first = sum(name.encode()) % len(ordered)
    ordered = ordered[first:] + ordered[:first]
    while count.total() < copies:
        count[min(ordered, key=lambda node: count[node])] += 1
    return sorted(count.elements())


class Placer:
    """Moves copies off nodes that are gone: the work of one process for all nodes."""

    def __init__(self, store: Any, nodes: Nodes) -> None:
        self._store = store
        self._nodes = nodes

    async def run(self) -> None:
        while True:
            generation = self._store.generation(rows.TABLE)
            try:
                await self.look()
            except (Unavailable, Conflict) as e:
                log.warning("services are not placed anew: %s", e)
            if isinstance(self._nodes, OneMachine):  # there is nothing to watch but the rows
                await self._store.changed(rows.TABLE, generation, 3600.0)
            else:
                await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Place what is not where it should be."""
        alive = self._nodes.alive()
        for record in rows.every(self._store):
            if self._wanted(record, alive) != record["nodes"]:
                await self._store.transact(lambda draft, r=record: self._move(draft, r["name"]))

    @staticmethod
    def _wanted(record: rows.Record, alive: list[str]) -> list[str]:
        return place(record["name"], record["settings"]["copies"], alive, record["nodes"])

    def _move(self, draft: Draft, name: str) -> None:
        record = draft.get_json(rows.key(name))
        if record is not None:
            record["nodes"] = self._wanted(record, self._nodes.alive())
            draft.put_json(rows.key(name), record)
