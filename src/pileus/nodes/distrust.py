"""Are this node's rows what the others' are? Each node asks itself, soon after its start and about
once a day: a bit that turned in the state file is no entry, so no hash of entries shows it.

Where two others agree with each other and not with this node, its state is not believed any more:
it stops serving and begins anew from another's (``state.rebuild``). Of several shards only the one
that differs does.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from pathlib import Path

from pileus.errors import Unavailable
from pileus.nodes.compare import Comparison, compare_home
from pileus.state.database import STATE_FILE
from pileus.state.groups import write_synced
from pileus.state.shard import home_of, homes

log = logging.getLogger("pileus.nodes.distrust")
FIRST_S, EVERY_S = 8.0, 86_400.0
SMALL_BYTES = 256 * 1024**2  # a larger state is not read whole at every start
AGAIN_S = 3600.0  # a state just fetched that differs is a fault of the comparison
MARK = "distrusted"


class Distrust:
    """``distrusted(why, shard)``: stop serving it, and begin anew from another node's state."""

    def __init__(self, home: Path, name: str, distrusted: Callable[[str, int], None]) -> None:
        self._home, self._name, self._distrusted = home, name, distrusted

    async def run(self) -> None:
        """For ever."""
        await asyncio.sleep(FIRST_S)
        if sum((home / STATE_FILE).stat().st_size for home in homes(self._home)) > SMALL_BYTES:
            await asyncio.sleep(EVERY_S * random.random())
        while True:
            try:
                await self.look()
            except (OSError, Unavailable) as error:
                log.warning("the nodes' rows are not compared now: %s", error)
            await asyncio.sleep(EVERY_S * random.uniform(0.5, 1))

    async def look(self) -> str:
        """Compare once; why this state is not believed, "" when it is."""
        found = await compare_home(self._home, lambda said: None) or []
        said = [self._judge(one) for one in found]
        return "; ".join(why for why in said if why)

    def _judge(self, found: Comparison) -> str:
        """What one shard's comparison says of this node, and what follows from it."""
        why = contradicted(found, self._name)
        if why and self._lately(found.shard):
            log.error("%s, though it was fetched from another node an hour ago or less", why)
        elif why:
            self.damaged(why, found.shard)
        elif found.problems:
            log.error("nobody knows which state is right: %s", found.problems)
        return why

    def damaged(self, why: str, shard: int = 0) -> None:
        """This node's state of a shard is wrong, however that was found."""
        write_synced(home_of(self._home, shard) / MARK, why.encode())
        self._distrusted(why, shard)

    def _lately(self, shard: int) -> bool:
        mark = home_of(self._home, shard) / MARK
        return mark.exists() and time.time() - mark.stat().st_mtime < AGAIN_S


def contradicted(found: Comparison, name: str) -> str:
    """What at least two others say against this node's rows, more than agree with it."""
    own = found.digests.get(name)
    if own is None:
        return ""
    others = [d for node, d in found.digests.items() if node != name]
    for digest in set(others) - {own}:
        against = others.count(digest)
        if against >= 2 and against > others.count(own):
            where = f" of shard {found.shard}" if found.shard else ""
            at = f"after entry {found.sequence}"
            return f"{against} nodes have other rows{where} than {name} {at}"
    return ""
