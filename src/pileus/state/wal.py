"""The write-ahead log of a state file's writer: it starts again before it grows long.

A passive checkpoint beside a busy writer never meets its last frame and the file grows without
end: after each background pass the writer does the small rest itself. The file then starts again
with the next commit, if no reader holds any of its frames: readers are asked to keep quiet
meanwhile. Where no commit follows, a file that grew long beside a long read stays as long, with
all of it copied: ``shorten`` ends it.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path

import apsw

from pileus.state.database import BUSY_MS, PAGE_BYTES, WAL_BYTES_KEPT, connect

log = logging.getLogger("pileus.state.wal")
WAL_PAGES = 2000
WAL_PAGES_STOP = 40_000


class WriteAhead:
    """``connection`` is the writer's. ``quiet(True)`` is called when the file is to start again,
    ``quiet(False)`` when it has: in between no reader should hold a transaction for longer than
    it reads."""

    def __init__(self, connection: apsw.Connection, path: Path | str, vfs: str | None) -> None:
        self.pages = 0
        self.quiet: Callable[[bool], None] = lambda wanted: None
        self._c = connection
        self._path, self._vfs = path, vfs
        self._tidied_at = 0
        self._asked_for_quiet = False
        self._checkpointer: _Checkpointer | None = None
        connection.set_wal_hook(self._note)

    def _note(self, connection: apsw.Connection, name: str, pages: int) -> int:
        if pages < self.pages:
            self._started_again()
        self.pages = pages
        return apsw.SQLITE_OK

    def tidy(self) -> None:
        """Between two groups: let the background checkpoint run; finish what it left."""
        fresh = self.pages - self._tidied_at
        if fresh < WAL_PAGES:
            return
        self._ask_for_quiet()
        if self._checkpointer is None:
            self._ask_to_pass()
        elif self._checkpointer.passed or fresh > WAL_PAGES_STOP:
            with contextlib.suppress(apsw.BusyError):  # a pass is still running
                self._c.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
                self._checkpointer.passed = False
                # A long read may keep the file from starting again: wait for as much once more.
                self._tidied_at = self.pages
        elif not self._checkpointer.running:
            self._ask_to_pass()

    @property
    def long(self) -> bool:
        """Whether the file is longer than one that starts again is left."""
        return self.pages * PAGE_BYTES > WAL_BYTES_KEPT

    def shorten(self) -> None:
        """Between two groups: truncate a long file, after a background pass has left little of it
        to copy. Nobody is waited for: a reader may hold it for minutes."""
        if not self.long or self.passing:
            return
        self._ask_for_quiet()
        if self._checkpointer is None or not self._checkpointer.passed:
            self._ask_to_pass()
            return
        self._checkpointer.passed = False
        self._c.set_busy_timeout(0)
        try:
            self._c.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        except apsw.BusyError:
            return  # somebody reads: in a while once more
        finally:
            self._c.set_busy_timeout(BUSY_MS)
        self.pages = 0
        self._started_again()

    @property
    def passing(self) -> bool:
        """Whether a background checkpoint is under way."""
        return self._checkpointer is not None and self._checkpointer.running

    def throw_away(self) -> None:
        """Bring what is committed into the state file, sync it, and truncate the log."""
        self._ask_for_quiet()
        self._c.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        self.pages = 0
        self._started_again()

    def close(self) -> None:
        if self._checkpointer is not None:
            self._checkpointer.stop()

    def _ask_to_pass(self) -> None:
        if self._checkpointer is None:
            self._checkpointer = _Checkpointer(self._path, self._vfs)
        self._checkpointer.ask()

    def _ask_for_quiet(self) -> None:
        if not self._asked_for_quiet:
            self._asked_for_quiet = True
            self.quiet(True)

    def _started_again(self) -> None:
        self._tidied_at = 0
        if self._asked_for_quiet:
            self._asked_for_quiet = False
            self.quiet(False)


class _Checkpointer:
    """A thread with its own connection that copies committed pages into the state file."""

    def __init__(self, path: Path | str, vfs: str | None) -> None:
        self.passed = False
        self.running = False
        self._asked = threading.Event()
        self._stopping = False
        self._connect: Callable[[], apsw.Connection] = lambda: connect(path, vfs=vfs)
        self._thread = threading.Thread(target=self._run, name="checkpointer", daemon=True)
        self._thread.start()

    def ask(self) -> None:
        self.running = True
        self._asked.set()

    def stop(self) -> None:
        self._stopping = True
        self._asked.set()
        self._thread.join()

    def _run(self) -> None:
        connection = self._connect()
        while True:
            self._asked.wait()
            self._asked.clear()
            if self._stopping:
                break
            try:
                connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)
            except apsw.Error as e:
                # Nothing is lost: the frames stay in the write-ahead log. The next ask tries again.
                log.error("a background checkpoint failed: %s", e)
            else:
                self.passed = True
            self.running = False
        connection.close()
