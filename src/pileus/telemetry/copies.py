"""A second copy of each node's log lines and data points, on its neighbour: what a lost node took
is told by another.

A node hands what is new in its store to the neighbour each second (``nodes.handing``); the
neighbour keeps it in a store of its own for that node, ``HOME/copies/NODE.db``, of the same
tables, so that it is read as the node itself would read it. How far it goes is noted in the same
transaction as the rows.
"""

from __future__ import annotations

import re
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pileus.telemetry.lines import Telemetry

_NAME = re.compile(r"[a-z0-9]{1,20}")
SCHEMA = """CREATE TABLE IF NOT EXISTS copy_marks(
  source TEXT PRIMARY KEY, mark INTEGER NOT NULL, at_ms INTEGER NOT NULL)"""
NOTED_MS = 2000  # how often it is noted that there was nothing new


@dataclass(frozen=True, slots=True)
class Source:
    """Tables that are copied. ``fresh(mark)``: rows after a mark, and the mark they lead to, the
    same when there is none (blocking). ``take(store, node, rows)``: queues them into the store of
    copies of ``node``."""

    name: str
    fresh: Callable[[int], tuple[list[Any], int]]
    take: Callable[[Telemetry, str, list[Any]], None]


class Copies:
    """The stores of other nodes that are copied here. One per process; opened when first asked
    for."""

    def __init__(self, home: Path) -> None:
        self._folder = home / "copies"
        self._lock = threading.Lock()
        self._taking: dict[str, threading.Lock] = {}
        self._open: dict[str, Telemetry] = {}
        self._noted: dict[str, int] = {}
        self.sources: dict[str, Source] = {}

    def add(self, source: Source) -> None:
        """A service's tables take part."""
        self.sources[source.name] = source

    def of(self, node: str, make: bool = False) -> Telemetry | None:
        """The store of copies of ``node``; None when there is none here."""
        if not _NAME.fullmatch(node):
            return None
        with self._lock:
            found = self._open.get(node)
            file = self._folder / f"{node}.db"
            if found is None and (make or file.exists()):
                self._folder.mkdir(exist_ok=True, mode=0o700)
                found = self._open[node] = Telemetry(file)
                found.schema(SCHEMA)
            return found

    def until_ms(self, node: str) -> int:
        """When ``node`` last handed over (0: never). Blocking."""
        store = self.of(node)
        if store is None:
            return 0
        return int(store.query("SELECT coalesce(max(at_ms), 0) FROM copy_marks")[0][0])

    def take(self, question: Any) -> int:
        """What a node hands over: ``[node, source, mark, rows, new mark]``. Answers the mark this
        copy has then: another than the new one, when the rows do not follow what it has. Blocking.
        """
        node, name, mark, rows, new = question
        with self._lock:
            taking = self._taking.setdefault(f"{node}/{name}", threading.Lock())
        with taking:  # a node that lost patience sends the same again
            return self._take(node, name, mark, rows, new)

    def _take(self, node: str, name: str, mark: int, rows: list[Any], new: int) -> int:
        source, store = self.sources[name], self.of(node, make=True)
        if store is None:
            raise ValueError(f"{node!r} is no name of a node")
        have = self._mark(store, name)
        if have != mark:
            return have
        at_ms = int(time.time() * 1000)
        if rows:
            source.take(store, node, rows)
        if new != mark or at_ms - self._noted.get(f"{node}/{name}", 0) > NOTED_MS:
            self._noted[f"{node}/{name}"] = at_ms
            store.post(lambda c: _note(c, name, new, at_ms))
        if new != mark:
            store.flush()
        return int(new)

    def held(self) -> list[str]:
        """Nodes of which there are copies here."""
        return sorted(file.stem for file in self._folder.glob("*.db"))

    @staticmethod
    def _mark(store: Telemetry, source: str) -> int:
        found = store.query("SELECT mark FROM copy_marks WHERE source=?", (source,))
        return int(found[0][0]) if found else 0

    def close(self) -> None:
        with self._lock:
            for store in self._open.values():
                store.close()
            self._open.clear()


def _note(c: sqlite3.Connection, source: str, mark: int, at_ms: int) -> None:
    c.execute(
        "INSERT INTO copy_marks VALUES(?,?,?) ON CONFLICT(source) DO UPDATE SET mark=excluded.mark,"
        " at_ms=excluded.at_ms",
        (source, mark, at_ms),
    )
