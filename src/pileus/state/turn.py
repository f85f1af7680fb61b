"""Reads of one turn of the loop share one read transaction: it costs twice what a row does.

It begins with a turn's first read and ends with the turn, so nothing is held while the process is
idle. No read is older than what was acknowledged before it: the commit counter grows before a
commit is answered, and a read that finds it moved begins anew. While the writer wants its
write-ahead log to start again, which no reader may then hold, every read stands alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import apsw

from pileus.engine.embedded.generations import Generations
from pileus.state.database import CONTENTS, CONTENTS_REVERSE, VALUE, Rows
from pileus.state.tx import Row

NOTHING = -1


class TurnRows(Rows):
    """``Rows`` of a connection that only reads, on one loop."""

    def __init__(
        self,
        connection: apsw.Connection,
        generations: Generations,
        loop: asyncio.AbstractEventLoop,
        hurt: Callable[[Exception], Exception] = lambda error: error,
    ) -> None:
        super().__init__(connection)
        self._commits, self._quiet = generations.commits, generations.quiet
        self._loop = loop
        self._hurt = hurt  # what to raise for an error of SQLite
        self._step = connection.cursor().execute
        self._listed = connection.cursor().execute
        self._held = NOTHING  # what the commit counter told before the transaction began
        self._ends = False  # the turn's end is on the loop's list

    def value(self, key: bytes) -> bytes | None:
        if self._commits() != self._held:
            self._begin()
        try:
            found: bytes | None = self._value(VALUE, (key,)).get
        except apsw.Error as error:
            raise self._hurt(error) from error
        return found

    def values(self, keys: Iterable[bytes]) -> list[bytes | None]:
        self._look()
        try:
            with self._connection:  # as of one moment also where a read stands alone
                found = [self._value(VALUE, (key,)).get for key in keys]
        except apsw.Error as error:
            raise self._hurt(error) from error
        return found

    def row(self, key: bytes) -> Row | None:
        self._look()
        try:
            return super().row(key)
        except apsw.Error as error:
            raise self._hurt(error) from error

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        self._look()
        try:
            return super().range(start, end, limit, reverse)
        except apsw.Error as error:
            raise self._hurt(error) from error

    def pairs(
        self, start: bytes, end: bytes, limit: int, reverse: bool
    ) -> list[tuple[bytes, bytes]]:
        self._look()
        try:
            return super().pairs(start, end, limit, reverse)
        except apsw.Error as error:
            raise self._hurt(error) from error

    def contents(self, start: bytes, end: bytes, limit: int, reverse: bool) -> list[bytes]:
        """The bytes of a range's rows, in key order (or its reverse)."""
        if self._commits() != self._held:
            self._begin()
        sql = CONTENTS_REVERSE if reverse else CONTENTS
        try:
            found: list[Any] = self._listed(sql, (start, end, limit)).fetchall()
        except apsw.Error as error:
            raise self._hurt(error) from error
        return list(chain.from_iterable(found))

    def _look(self) -> None:
        if self._commits() != self._held:
            self._begin()

    def _begin(self) -> None:
        """Let go of what is older than the last commit; hold what is now, if that is allowed."""
        self.let_go()
        now = self._commits()  # before the transaction sees anything
        if self._quiet():
            return
        if not self._ends:
            self._ends = True
            self._loop.call_soon(self._end)
        self._step("BEGIN")
        self._held = now

    def _end(self) -> None:
        self._ends = False
        self.let_go()

    def refresh(self) -> None:
        self.let_go()

    def let_go(self) -> None:
        """End the transaction, if there is one."""
        if self._held != NOTHING:
            self._held = NOTHING
            if self._connection.in_transaction:  # a failed read may have ended it
                self._step("COMMIT")
