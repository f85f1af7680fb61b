"""A node's part in the shards' logs of its cluster: each brought up from the state that is here, or
from another node's where this one's is of no use any more; none ahead of what it needs of another.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pileus.engine import Behind, SharedLog
from pileus.engine.cluster.log_messages import DamagedMessage, Position
from pileus.engine.damage import damaged
from pileus.errors import Unavailable
from pileus.state import boots, degraded, pages, removed, tablets
from pileus.state.database import PAGE_BYTES, STATE_FILE
from pileus.state.entry import Corrupt
from pileus.state.gate import Gates, Needs, later
from pileus.state.rebuild import Clustered, rebuild, wish, wished
from pileus.state.replica import SqliteReplica
from pileus.state.shard import Shard, home_of
from pileus.state.versions import RuleBook

log = logging.getLogger("pileus.state.following")
MENDED_BY_COPY = (Behind, Corrupt, DamagedMessage)
WHOLE_S_MAX = 60.0
LOOK_S, STUCK_S = 1.0, 5.0
Opened = tuple[SqliteReplica, SharedLog]


def mended_by_copy(error: BaseException) -> bool:
    """Whether another node's state is what helps."""
    return isinstance(error, MENDED_BY_COPY) or damaged(error)


class Outgrown(Exception):
    """The cloud has more shards than this process opened: it starts again."""


class Follower:
    """``committed(replica)`` runs after each commit on the thread that made it, before anyone is
    answered; ``failed(error, shard)`` on the loop when a replica can never go on. ``count``: how
    many shards this process knows of, where it can have several."""

    def __init__(
        self,
        home: Path,
        cluster: Clustered,
        book: RuleBook,
        committed: Callable[[Any], None],
        failed: Callable[..., None],
        count: int = 0,
    ) -> None:
        self.count = count or 1
        self._several = count > 0
        self._home, self._cluster, self._book = home, cluster, book
        self._committed, self._failed = committed, failed
        self.gates = Gates()
        self._stuck: dict[int, tuple[Needs, float]] = {}
        self._looking: asyncio.Task[None] | None = None

    # -- one shard ---------------------------------------------------------------------------

    async def follow(self, shard: int, copies: int = 0) -> Opened:
        """Open a shard's state and start its log; begin from another node's state as often as the
        log leaves the copy behind. ``copies``: how many the log is to have, where it is to be made
        if there is none."""
        home, at_least = home_of(self._home, shard), 0
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        degraded.tell(self._home, "", shard)
        if wished(home):
            await self._rebuild(home, shard, at_least)
        while True:
            replica = self._replica(home)
            try:
                made = self._log(shard, replica, copies)
                await made.start(replica)
                if not self._several:
                    boots.note(self._home)
                return replica, made
            except Behind:
                at_least = max(at_least, replica.applied) + 1
                replica.close()
                await self._rebuild(home, shard, at_least)
            except BaseException as e:
                replica.close()
                if mended_by_copy(e):
                    wish(home, str(e))
                raise

    async def _rebuild(self, home: Path, shard: int, at_least: int) -> None:
        boots.forget(self._home)
        await rebuild(home, shard, self._cluster.fetch, at_least)

    def _replica(self, home: Path) -> SqliteReplica:
        # Synced on most nodes' disks already; what this one loses, the log gives again.
        try:
            pages.bring_up(home / STATE_FILE, PAGE_BYTES)
            return SqliteReplica(home / STATE_FILE, self._book, synchronous="NORMAL")
        except Exception as e:
            if mended_by_copy(e):
                wish(home, str(e))
            raise

    def _log(self, shard: int, replica: SqliteReplica, copies: int) -> SharedLog:
        self._look(shard, replica)
        committed = self._first_committed if shard == 0 else self._committed
        removal = removed.Removal(self._cluster.node, replica)
        committed = functools.partial(self._watched, removal, committed)
        if self._several:
            committed = functools.partial(self._one_of_several, shard, committed)
        failed = functools.partial(self._failed, shard=shard)
        made = self._cluster.make_log(shard, committed, failed)
        made.removed = removal
        made.trusted = boots.same(self._home)
        made.stands = functools.partial(degraded.tell, self._home, shard=shard)
        if self._several:
            self.gates.passed(shard, replica.applied)
            made.gate = self.gates.of(shard)
        if shard and not replica.applied:
            # Where the map of tablets knows the shard, its log was made before; one that is not
            # there was lost.
            made.found = copies
        return made

    def _look(self, shard: int, replica: SqliteReplica) -> None:
        if shard == 0 and tablets.shards(replica) > self.count:
            raise Outgrown(f"there are {tablets.shards(replica)} shards, not {self.count}")

    # -- on the applying threads -------------------------------------------------------------

    def _first_committed(self, replica: SqliteReplica) -> None:
        self._committed(replica)
        if b"tablets" in replica.touched:
            self._look(0, replica)  # from this entry on, nothing is answered here

    def _watched(
        self,
        removal: removed.Removal,
        committed: Callable[[Any], None],
        replica: SqliteReplica,
    ) -> None:
        removal.committed(replica)
        committed(replica)

    def _one_of_several(
        self, shard: int, committed: Callable[[Any], None], replica: SqliteReplica
    ) -> None:
        committed(replica)
        self.gates.passed(shard, replica.applied)

    # -- several shards ----------------------------------------------------------------------

    async def follow_all(self) -> list[Opened]:
        """All at once: they wait for each other."""
        tasks = [asyncio.ensure_future(self.follow(n)) for n in range(self.count)]
        told = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [t for t in told if isinstance(t, BaseException)]
        opened = [t for t in told if not isinstance(t, BaseException)]
        if failed:
            for _, made in opened:
                await made.stop()
            raise next((f for f in failed if isinstance(f, Outgrown)), failed[0])
        return opened

    async def whole(self, shards: list[Shard]) -> None:
        """Wait until no shard is ahead of what its rows take for done in another: after a power cut
        one state may have gone further back than another, and one may have been fetched.
        ``Unavailable`` where it cannot catch up now."""
        positions = [s.replica.position for s in shards if s.replica is not None]
        needs = later(*(Position.unpack(p).needs for p in positions if p))
        loop = asyncio.get_running_loop()
        deadline, asks = loop.time() + WHOLE_S_MAX, loop.time() + STUCK_S
        while missing := self.gates.missing(needs):
            now = loop.time()
            if now > asks and await _all_here(shards, missing):
                break
            if now > deadline:
                raise Unavailable(
                    f"this node's shards do not fit together: entries {missing} are not here yet",
                    "more than half of the nodes must be up: pileus nodes",
                )
            await asyncio.sleep(0.02)
        boots.note(self._home)
        self._looking = asyncio.create_task(self._look_at_gates(shards), name="gates")

    async def _look_at_gates(self, shards: list[Shard]) -> None:
        """Let go of what waits for an entry that is gone: a log that lost its end, and was made
        anew, no longer has it."""
        while True:
            await asyncio.sleep(LOOK_S)
            now, waiting = asyncio.get_running_loop().time(), self.gates.waiting()
            before, self._stuck = self._stuck, {}
            for shard, needs in waiting.items():
                seen = before.get(shard)
                since = seen[1] if seen is not None and seen[0] == needs else now
                self._stuck[shard] = needs, since
                if now - since > STUCK_S and await _all_here(shards, needs):
                    self.gates.waive(shard, needs)

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)


async def _all_here(shards: list[Shard], needs: Needs) -> bool:
    """Whether all that the logs have of the entries ``needs`` names is applied here: their barriers
    pass."""
    try:
        for other in needs:
            await shards[other].log.barrier()
    except Unavailable as e:
        log.warning("entries %s of other shards are waited for: %s", needs, e)
        return False
    log.warning("entries %s of other shards are here, or are gone for good", needs)
    return True
