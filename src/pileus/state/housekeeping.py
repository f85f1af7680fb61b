"""Background work of the writer: archive and trim the log, take checkpoints, split tablets, collect
blobs."""

from __future__ import annotations

import asyncio
import itertools
import logging
from pathlib import Path
from typing import Any

import apsw

from pileus.errors import AwsError, Unavailable
from pileus.state import backups, checkpoint, groups, marks
from pileus.state.collect import Collector
from pileus.state.database import STATE_FILE, Rows, connect_reader
from pileus.state.durable import Durable
from pileus.state.store import Store
from pileus.state.tablets import Tablet

log = logging.getLogger("pileus.state.housekeeping")
TURN_S = 5.0
COLLECT_TURNS = 120
TRIM_ENTRIES = 10_000
JOURNAL_ENTRIES = 10_000
CHECKPOINT_ENTRIES = 1_000_000
ARCHIVE_BYTES_MIN = 256 * 1024**2
TABLET_BYTES_MAX = 2 * 1024**3
ROW_OVERHEAD_BYTES = 24


class Housekeeping:
    """Runs beside the writer's store until ``stop``. A turn that fails is logged and tried again:
    nothing is trimmed or removed before what must come first has worked."""

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
    ) -> None:
        self._store = store
        self._blobs = blobs
        self._clock = clock
        self._collector = Collector(store, blobs, clock)
        self._trim_entries = trim_entries
        self._journal_entries = journal_entries
        self._trimmed = 0
        self._checkpoint_entries = checkpoint_entries
        self._tablet_bytes_max = tablet_bytes_max
        self._patience_s = patience_s
        self._state = store.home / STATE_FILE
        self._measured = store.replica.written_bytes
        self._task: asyncio.Task[None] | None = None
        self._durable = Durable(store, clock) if store.node else None

    async def start(self) -> None:
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def _run(self) -> None:
        turn = 0
        while True:
            await asyncio.sleep(TURN_S)
            turn += 1
            try:
                await self.turn(collect=turn % COLLECT_TURNS == 0)
            except (OSError, apsw.Error, Unavailable, AwsError) as e:
                log.error("housekeeping will try again: %s", e)

    async def turn(self, collect: bool = True) -> None:
        """All that is due now."""
        await self.mark()
        if self._durable is not None:
            await self._durable.turn()
        await self.trim()  # first: what is trimmed need not be copied
        await self.checkpoint()
        await self.split()
        if collect:
            await self._collector.sweep()
            await asyncio.to_thread(self._blobs.sweep)

    async def mark(self) -> bool:
        """Append the running hash of the last ten-thousandth entry, unless the log has it."""
        args = await asyncio.to_thread(self._due)
        if args is not None:
            node = [self._store.node] if self._store.node else []
            await self._store.submit(marks.RULE, args + node)
        return args is not None

    def _due(self) -> list[Any] | None:
        connection = connect_reader(self._state)
        try:
            rows = Rows(connection)
            if self._store.node:
                return marks.due_vote(connection, rows, self._store.node)
            return marks.due(connection, rows.value(marks.LAST))
        finally:
            connection.close()

    # -- log ---------------------------------------------------------------------------------

    async def trim(self) -> int:
        """Archive all but the end of the journal, unless a checkpoint stands for it, then drop it;
        answers the last entry dropped now (0: nothing was due)."""
        below = self._store.replica.applied - self._journal_entries
        last = await asyncio.to_thread(self._archive, below)
        if last:
            await self._store.log.trim(last + 1)  # type: ignore[union-attr]
            self._trimmed = last
        return last

    def _archive(self, below: int) -> int:
        """Make sure the journal is not needed below ``below``, when enough of it is there; answers
        the last entry of the last whole group."""
        archive = self._store.home / "archive"
        connection = connect_reader(self._state)
        try:
            last = self._last_whole(connection, below)
            if not last:
                return 0
            needless = self._needless()
            groups.forget(archive, needless)
            found = groups.segments(archive)
            done = max(found[-1].last if found else 0, needless)
            wanted = itertools.takewhile(lambda g: g.last <= last, groups.journal(connection, done))
            groups.write(archive, wanted)
            return last
        finally:
            connection.close()

    def _last_whole(self, connection: apsw.Connection, below: int) -> int:
        """The last entry of the last group that ends below ``below``; 0 when too few do."""
        found: Any = connection.execute(
            "SELECT last, (SELECT first FROM log WHERE first > ? AND length(entries) > 0"
            " ORDER BY first LIMIT 1) FROM log"
            " WHERE first < ? AND last < ? ORDER BY first DESC LIMIT 1",
            (self._trimmed, below, below),
        ).fetchall()
        last, oldest = found[0] if found else (0, None)
        return int(last) if oldest and below - oldest >= self._trim_entries else 0

    def _needless(self) -> int:
        """The entry up to which nobody needs the log: the checkpoint stands for it and every backup
        has it. 0 without a checkpoint."""
        found = checkpoint.every(self._store.home / "checkpoints")
        if not found:
            return 0
        oldest, now_s = found[0].sequence, self._clock.now_ms() // 1000
        waited = backups.waited_for(self._store.home, now_s, oldest, self._patience_s)
        return min(oldest, waited)

    async def checkpoint(self) -> None:
        """Copy the state when enough was written since the last copy, then let go of what that
        copy stands for: older copies, and archived segments that no backup waits for."""
        directory, archive = self._store.home / "checkpoints", self._store.home / "archive"
        if await asyncio.to_thread(self._checkpoint_due, directory, archive):
            await asyncio.to_thread(checkpoint.take, self._state, directory)
            await asyncio.to_thread(checkpoint.forget_old, directory)
            await asyncio.to_thread(lambda: groups.forget(archive, self._needless()))

    def _checkpoint_due(self, directory: Path, archive: Path) -> bool:
        """After a number of entries, or when the archive has outgrown the state: then a copy takes
        less room than what it replaces."""
        found = checkpoint.every(directory)
        behind = self._store.replica.applied - (found[-1].sequence if found else 0)
        if behind >= self._checkpoint_entries:
            return True
        archived = sum(s.path.stat().st_size for s in groups.segments(archive))
        return archived > max(self._state.stat().st_size, ARCHIVE_BYTES_MIN)

    # -- tablets -------------------------------------------------------------------------------

    async def split(self) -> int:
        """Split tablets that have outgrown the limit; answers how many."""
        written = self._store.replica.written_bytes
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

    def _middle(self, tablet: Tablet) -> bytes:
        """The key that halves a tablet's bytes; b"" when it is small enough."""
        connection = connect_reader(self._state)
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
