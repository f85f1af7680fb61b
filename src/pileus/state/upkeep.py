"""What one shard's writer does in the background: tell its hash, archive and trim its log, take
checkpoints."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw

from pileus.engine import WriterLog
from pileus.state import backups, checkpoint, groups, marks
from pileus.state.database import STATE_FILE, Rows, connect_reader
from pileus.state.replica import SqliteReplica

TRIM_ENTRIES = 10_000
JOURNAL_ENTRIES = 10_000
CHECKPOINT_ENTRIES = 1_000_000
JOURNAL_BYTES = 64 * 1024**2
ARCHIVE_BYTES_MIN = 256 * 1024**2


@dataclass(frozen=True)
class Pace:
    """How much may gather: entries before the journal is trimmed, those it keeps, those between
    checkpoints; how long a backup is waited for; the bytes of entries a journal keeps, however few
    they are."""

    trim_entries: int = TRIM_ENTRIES
    journal_entries: int = JOURNAL_ENTRIES
    checkpoint_entries: int = CHECKPOINT_ENTRIES
    patience_s: int = backups.PATIENCE_S
    journal_bytes: int = JOURNAL_BYTES


class Upkeep:
    """``home``: the shard's own. ``submit(rule, args)`` appends to its log; ``node``: this node's
    name in a cluster."""

    def __init__(
        self,
        home: Path,
        replica: SqliteReplica,
        log: WriterLog,
        submit: Callable[[str, Any], Awaitable[Any]],
        clock: Any,
        pace: Pace,
        node: str = "",
    ) -> None:
        self.home = home
        self.replica = replica
        self._log = log
        self._submit = submit
        self._clock = clock
        self._pace = pace
        self._node = node
        self._state = home / STATE_FILE
        self._trimmed = 0
        self._turn = asyncio.Lock()  # the archive's: a journal is trimmed beside a checkpoint
        # How far the journal had come, and how many bytes: at the last trim, and second by second
        # since then, but for what is further back than ``journal_bytes``.
        self._trimmed_bytes = 0
        self._grown = deque([(0, 0)])

    async def mark(self) -> bool:
        """Append the running hash of the last ten-thousandth entry, unless the log has it."""
        args = await asyncio.to_thread(self._due)
        if args is not None:
            node = [self._node] if self._node else []
            await self._submit(marks.RULE, args + node)
        return args is not None

    def _due(self) -> list[Any] | None:
        connection = connect_reader(self._state)
        try:
            rows = Rows(connection)
            if self._node:
                return marks.due_vote(connection, rows, self._node)
            return marks.due(connection, rows.value(marks.LAST))
        finally:
            connection.close()

    # -- log ---------------------------------------------------------------------------------

    async def keep_short(self) -> None:
        """Every second or so: long entries fill the journal long before there are many, and what
        it once took the state file keeps, as free pages."""
        self._grown.append((self.replica.applied, self.replica.journaled_bytes))
        if self._too_long():
            await self.trim()
        if self.replica.wal.long:
            await self._log.run(self.replica.shorten)

    def _too_long(self) -> int:
        """The entry to trim below for the bytes' sake; 0: there is no need."""
        grown, kept = self._grown, self._pace.journal_bytes
        while len(grown) > 1 and self.replica.journaled_bytes - grown[1][1] >= kept:
            grown.popleft()
        below, size = grown[0]
        return below if size - self._trimmed_bytes >= kept else 0

    async def trim(self) -> int:
        """Archive all but the end of the journal, unless a checkpoint stands for it, then drop it;
        answers the last entry dropped now (0: nothing was due)."""
        async with self._turn:
            long = self._too_long()
            below = max(long, self.replica.applied - self._pace.journal_entries)
            least = 1 if long else self._pace.trim_entries
            last = await asyncio.to_thread(self._archive, below, least)
            if last:
                await self._log.trim(last + 1)
                self._trimmed = last
            if long:
                self._trimmed_bytes = self._grown[0][1]
            return last

    def _archive(self, below: int, least: int) -> int:
        """Make sure the journal is not needed below ``below``, when at least so many entries of it
        are there; answers the last entry of the last whole group."""
        archive = self.home / "archive"
        connection = connect_reader(self._state)
        try:
            last = self._last_whole(connection, below, least)
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

    def _last_whole(self, connection: apsw.Connection, below: int, least: int) -> int:
        """The last entry of the last group that ends below ``below``; 0 when fewer do."""
        found: Any = connection.execute(
            "SELECT last, (SELECT first FROM log WHERE first > ? AND length(entries) > 0"
            " ORDER BY first LIMIT 1) FROM log"
            " WHERE first < ? AND last < ? ORDER BY first DESC LIMIT 1",
            (self._trimmed, below, below),
        ).fetchall()
        last, oldest = found[0] if found else (0, None)
        return int(last) if oldest and below - oldest >= least else 0

    def _needless(self) -> int:
        """The entry up to which nobody needs the log: the checkpoint stands for it and every backup
        has it. 0 without a checkpoint."""
        found = checkpoint.every(self.home / "checkpoints")
        if not found:
            return 0
        oldest, now_s = found[0].sequence, self._clock.now_ms() // 1000
        waited = backups.waited_for(self.home, now_s, oldest, self._pace.patience_s)
        return min(oldest, waited)

    async def checkpoint(self) -> None:
        """Copy the state when enough was written since the last copy, then let go of what that
        copy stands for: older copies, and archived segments that no backup waits for. A start
        that changed the rules has made a copy already."""
        directory, archive = self.home / "checkpoints", self.home / "archive"
        async with self._turn:
            due = await asyncio.to_thread(self._checkpoint_due, directory, archive)
        if due:
            await asyncio.to_thread(checkpoint.take, self._state, directory)
        elif len(checkpoint.every(directory)) <= checkpoint.KEPT:
            return
        async with self._turn:
            await asyncio.to_thread(checkpoint.forget_old, directory)
            await asyncio.to_thread(lambda: groups.forget(archive, self._needless()))

    def _checkpoint_due(self, directory: Path, archive: Path) -> bool:
        """After a number of entries, or when the archive has outgrown the state: then a copy takes
        less room than what it replaces."""
        found = checkpoint.every(directory)
        behind = self.replica.applied - (found[-1].sequence if found else 0)
        if behind >= self._pace.checkpoint_entries:
            return True
        archived = sum(s.path.stat().st_size for s in groups.segments(archive))
        return archived > max(self._state.stat().st_size, ARCHIVE_BYTES_MIN)
