"""Background work of the writer: archive and trim the log, take checkpoints, split tablets, collect
blobs."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

import apsw

from pileus.engine import WriterLog
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import backups, owned, sharing
from pileus.state.collect import Collector
from pileus.state.database import STATE_FILE, connect_reader
from pileus.state.durable import Durable
from pileus.state.hurt import end_if_wished
from pileus.state.rereading import Rereading
from pileus.state.shard import homes
from pileus.state.sharded import ShardedStore
from pileus.state.store import Store
from pileus.state.tablets import Tablet
from pileus.state.upkeep import (
    CHECKPOINT_ENTRIES,
    JOURNAL_BYTES,
    JOURNAL_ENTRIES,
    TRIM_ENTRIES,
    Pace,
    Upkeep,
)

log = logging.getLogger("pileus.state.housekeeping")
TURN_S = 5.0
LOOK_S = 1.0
COLLECT_TURNS = 120
TABLET_BYTES_MAX = 2 * 1024**3
ROW_OVERHEAD_BYTES = 24
OPERATING = (OSError, apsw.Error, Unavailable, AwsError, Conflict)


class Housekeeping:
    """Runs beside the writer's store until ``stop``. A turn that fails is logged and tried again:
    nothing is trimmed or removed before what must come first has worked. ``leads()``: whether this
    node does what one does for all, the tablets' moves and sweeps."""

    def __init__(
        self,
        store: Store,
        blobs: Any,
        clock: Any,
        *,
        trim_entries: int = TRIM_ENTRIES,
        journal_entries: int = JOURNAL_ENTRIES,
        checkpoint_entries: int = CHECKPOINT_ENTRIES,
        tablet_bytes_max: int = TABLET_BYTES_MAX,
        patience_s: int = backups.PATIENCE_S,
        journal_bytes: int = JOURNAL_BYTES,
        leads: Callable[[], bool] = lambda: True,
    ) -> None:
        self._store, self._leads = store, leads
        self._blobs = blobs
        self._clock = clock
        self._collector = Collector(store, blobs, clock)
        self._tablet_bytes_max = tablet_bytes_max
        pace = Pace(trim_entries, journal_entries, checkpoint_entries, patience_s, journal_bytes)
        self._logs = _upkeep(store, clock, pace)
        self._measured = self._written
        self._moves_at = -1
        self._tasks: list[asyncio.Task[None]] = []
        rereading = Rereading(homes(store.home))
        self._runs = (self._run, self._keep_short, rereading.run, self._look)
        self._durable = Durable(store, clock) if store.node else None

    async def start(self) -> None:
        self._tasks = [asyncio.ensure_future(run()) for run in self._runs]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            end_if_wished(homes(self._store.home))

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            try:
                await self.turn(collect=turn % COLLECT_TURNS == 0)
            except OPERATING as e:
                log.error("housekeeping will try again: %s", e)

    async def _keep_short(self) -> None:
        """Beside the turns: one that takes a checkpoint takes minutes."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                await self.keep_short()
            except OPERATING as e:
                log.error("a journal could not be kept short: %s", e)

    async def keep_short(self) -> None:
        """Trim journals that long entries have filled, end write-ahead logs that grew long."""
        failed: list[Exception] = []
        for one in self._logs:
            await _done(one.keep_short(), failed)
        if failed:
            raise failed[0]

    async def turn(self, collect: bool = True) -> None:
        """All that is due now."""
        await self._keep_logs()
        if self._leads():
            await self._keep_tablets()
        if collect:
            await self._collector.sweep()
            await asyncio.to_thread(self._blobs.sweep)

    async def _keep_tablets(self) -> None:
        await self.split()
        if isinstance(self._store, ShardedStore):
            await self._store.crossing.sweep()
            await sharing.sweep_strays(self._store.shards)
            await self.move()

    async def _keep_logs(self) -> None:
        """Mark, tell, trim, copy. A log that is out of reach does not keep the others from it; what
        went wrong first is raised at the end."""
        failed: list[Exception] = []
        sound = [one for one in self._logs if await _done(one.mark(), failed)]
        if self._durable is not None and sound:
            await self._durable.turn()
        for one in sound:  # what is trimmed need not be copied
            if await _done(one.trim(), failed):
                await _done(one.checkpoint(), failed)
        if failed:
            raise failed[0]

    async def mark(self) -> bool:
        """Append the running hash of each log's last ten-thousandth entry, unless it is there."""
        return any([await one.mark() for one in self._logs])

    async def trim(self) -> int:
        """Archive all but the end of each journal, unless a checkpoint stands for it, then drop it;
        answers the last entry of one dropped now (0: nothing was due)."""
        return max([await one.trim() for one in self._logs])

    async def checkpoint(self) -> None:
        """Copy each state when enough was written since its last copy, then let go of what that
        copy stands for: older copies, and archived segments that no backup waits for."""
        for one in self._logs:
            await one.checkpoint()

    # -- tablets -------------------------------------------------------------------------------

    async def split(self) -> int:
        """Split tablets that have outgrown the limit; answers how many."""
        written = self._written
        if written - self._measured < self._tablet_bytes_max // 4:
            return 0
        self._measured = written
        count = 0
        for tablet in self._store.tablets.tablets:
            middle = await asyncio.to_thread(self._middle, tablet)
            if middle:
                await self._store.submit("tablet.split", {"at": middle})
                count += 1
        return count

    @property
    def _written(self) -> int:
        return sum(one.replica.written_bytes for one in self._logs)

    async def move(self) -> int:
        """Go on with the moves that are planned; where there is none and a shard holds a tablet's
        worth more than another, let a tablet go there. Answers how many went."""
        assert isinstance(self._store, ShardedStore)
        spread = await self._store.mover.spread(self._store.placing.layout)
        if spread:
            return spread
        if not self._store.mover.plans and self._moves_at != self._written:
            self._moves_at = self._written
            tablets = self._store.tablets.tablets  # read here: the thread has no such connection
            sizes = await asyncio.to_thread(self._all_bytes, tablets)
            common = self._store.tablets.shared
            wanted = evened(sizes, len(self._logs), self._tablet_bytes_max, common)
            if wanted is not None:
                await self._store.mover.bring(wanted[0].start, wanted[0].end, wanted[1])
                return 1
        return await self._store.mover.advance()

    def _all_bytes(self, tablets: Sequence[Tablet]) -> list[tuple[Tablet, int]]:
        found = []
        for tablet in tablets:
            connection = connect_reader(self._logs[tablet.shard].home / STATE_FILE)
            try:
                found.append((tablet, self._bytes(connection, tablet)))
            finally:
                connection.close()
        return found

    def _middle(self, tablet: Tablet) -> bytes:
        """The key that halves a tablet's bytes; b"" when it is small enough."""
        connection = connect_reader(self._logs[tablet.shard].home / STATE_FILE)
        try:
            total = self._bytes(connection, tablet)
            if total <= self._tablet_bytes_max:
                return b""
            passed = 0
            for k, size in self._sizes(connection, tablet):
                passed += size
                if passed >= total // 2 and k > tablet.start:
                    return bytes(k)
            return b""  # one row: nothing to cut between
        finally:
            connection.close()

    @staticmethod
    def _sizes(connection: apsw.Connection, tablet: Tablet) -> Any:
        return connection.execute(
            "SELECT k, length(k) + length(v) + ? FROM rows WHERE k >= ? AND k < ? ORDER BY k",
            (ROW_OVERHEAD_BYTES, tablet.start, tablet.end or b"\xff" * 64),
        )

    @staticmethod
    def _bytes(connection: apsw.Connection, tablet: Tablet) -> int:
        found: Any = connection.execute(
            "SELECT sum(length(k) + length(v) + ?) FROM rows WHERE k >= ? AND k < ?",
            (ROW_OVERHEAD_BYTES, tablet.start, tablet.end or b"\xff" * 64),
        ).fetchall()
        return int(found[0][0] or 0)


async def _done(step: Awaitable[Any], failed: list[Exception]) -> bool:
    """Whether ``step`` worked; else why not is one more of ``failed``."""
    try:
        await step
        return True
    except OPERATING as error:
        failed.append(error)
        return False


def _upkeep(store: Store, clock: Any, pace: Pace) -> list[Upkeep]:
    """One for each shard, shard 0's first."""
    log = cast(WriterLog, store.log)
    found = [Upkeep(store.home, store.replica, log, store.submit, clock, pace, store.node)]
    if isinstance(store, ShardedStore):
        for shard in store.shards[1:]:
            assert shard.replica is not None
            log = cast(WriterLog, shard.log)
            home, replica = shard.home, shard.replica
            found.append(Upkeep(home, replica, log, shard.ask, clock, pace, store.node))
    return found


def evened(
    sizes: list[tuple[Tablet, int]],
    shards: int,
    more_bytes: int,
    common: tuple[bytes, ...] = (),
) -> tuple[Tablet, int] | None:
    """The tablet that should go from the fullest shard to the emptiest, and which that is; None
    where they differ by less than ``more_bytes``, or no tablet would make it better."""
    held = [0] * shards
    for tablet, size in sizes:
        held[tablet.shard] += size
    fullest, emptiest = held.index(max(held)), held.index(min(held))
    apart = held[fullest] - held[emptiest]
    if apart < more_bytes:
        return None
    fit = [
        (size, tablet)
        for tablet, size in sizes
        if tablet.shard == fullest
        and 0 < size < apart
        and not owned.holds_local(tablet[0], tablet.end, common)
    ]
    return (max(fit)[1], emptiest) if fit else None
