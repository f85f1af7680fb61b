"""Log events in the telemetry store: append, read by stream or group, expire.

Times are milliseconds since 1970. Events order by (timestamp, id); ``id`` grows with each commit.
A *place* is such a pair; a token names one as 56 digits, as AWS's event ids look. Each node counts
its own ids: outside this module an id carries the node's number, so that the nodes' events have one
order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from pileus.telemetry import Telemetry

SCHEMA = """
CREATE TABLE IF NOT EXISTS log_events(
  id INTEGER PRIMARY KEY AUTOINCREMENT, grp INTEGER, stream INTEGER, ts INTEGER,
  ingested INTEGER, message TEXT);
CREATE INDEX IF NOT EXISTS log_events_stream ON log_events(stream, ts);
CREATE INDEX IF NOT EXISTS log_events_group ON log_events(grp, ts);
CREATE TABLE IF NOT EXISTS log_streams(
  id INTEGER PRIMARY KEY, grp INTEGER, first_ts INTEGER, last_ts INTEGER, ingested INTEGER,
  bytes INTEGER);
CREATE INDEX IF NOT EXISTS log_streams_group ON log_streams(grp)
"""
INSERT = "INSERT INTO log_events(grp, stream, ts, ingested, message) VALUES(?,?,?,?,?)"
COPY = (
    "INSERT OR IGNORE INTO log_events(id, grp, stream, ts, ingested, message) VALUES(?,?,?,?,?,?)"
)
COPIED_MAX, PIECE_BYTES = 200_000, 1024 * 1024
UPSERT = """INSERT INTO log_streams VALUES(?,?,?,?,?,?) ON CONFLICT(id) DO UPDATE SET
  first_ts=min(first_ts, excluded.first_ts), last_ts=max(last_ts, excluded.last_ts),
  ingested=max(ingested, excluded.ingested), bytes=bytes+excluded.bytes"""
SWEEP_ROWS = 5000
NODES_MAX = 10_000  # an id outside is the row's, times this, plus the node's number
FIRST = (0, 0)
LAST = (2**62, 2**62)

Place = tuple[int, int]


class Event(NamedTuple):
    id: int
    stream: int
    ts: int
    ingested: int
    message: str

    @property
    def place(self) -> Place:
        return self.ts, self.id


class StreamFacts(NamedTuple):
    """What is known of a stream from its events."""

    first_ts: int
    last_ts: int
    ingested: int
    bytes: int


def digits(place: Place) -> str:
    """A place as the 56 digits of an AWS event id or paging token."""
    return f"{place[0]:020d}{place[1]:036d}"


def place_of(text: str) -> Place:
    """The inverse of ``digits``; ``ValueError`` when it is not one."""
    if len(text) != 56 or not text.isdigit():
        raise ValueError(text)
    return int(text[:20]), int(text[20:])


class Events:
    """The log tables of the telemetry store. Reads flush first and block: call from a thread.
    ``node``: this node's number."""

    def __init__(self, telemetry: Telemetry, node: int = 0) -> None:
        self._telemetry = telemetry
        self._node = node % NODES_MAX
        telemetry.schema(SCHEMA)

    def append(
        self, group: int, stream: int, events: Sequence[tuple[int, str]], now_ms: int
    ) -> None:
        """Queue (timestamp, message) pairs; on disk within a second."""
        rows = [(group, stream, ts, now_ms, message) for ts, message in events]
        stamps = [ts for ts, _ in events]
        size = sum(len(message) + 26 for _, message in events)
        facts = (stream, group, min(stamps), max(stamps), now_ms, size)

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(INSERT, rows)
            connection.execute(UPSERT, facts)

        self._telemetry.post(write, 2 * size)

    def read(
        self, column: str, owner: int, start: Place, end: Place, limit: int, reverse: bool = False
    ) -> list[Event]:
        """Events of one stream or group (``column``: stream, grp) with start < place < end."""
        assert column in ("stream", "grp")
        self._telemetry.flush()
        order = "DESC" if reverse else "ASC"
        rows = self._telemetry.query(
            f"SELECT id, stream, ts, ingested, message FROM log_events WHERE {column}=?"
            " AND ts>=? AND ts<=? AND (ts, id)>(?,?) AND (ts, id)<(?,?)"
            f" ORDER BY ts {order}, id {order} LIMIT ?",
            (owner, start[0], end[0], *self._own(start), *self._own(end, up=True), limit),
        )
        return [Event(row[0] * NODES_MAX + self._node, *row[1:]) for row in rows]

    def _own(self, place: Place, up: bool = False) -> Place:
        """A place among this node's own ids: what comes after it (``up``: before it) is the
        same."""
        number = place[1] - self._node
        return place[0], -(-number // NODES_MAX) if up else number // NODES_MAX

    def facts(self, group: int) -> dict[int, StreamFacts]:
        """Stream id → what its events say."""
        self._telemetry.flush()
        rows = self._telemetry.query(
            "SELECT id, first_ts, last_ts, ingested, bytes FROM log_streams WHERE grp=?", (group,)
        )
        return {row[0]: StreamFacts(*row[1:]) for row in rows}

    def bytes_by_group(self) -> dict[int, int]:
        self._telemetry.flush()
        return dict(self._telemetry.query("SELECT grp, sum(bytes) FROM log_streams GROUP BY grp"))

    def streams(self, group: int) -> list[int]:
        """Streams with events here."""
        rows = self._telemetry.query("SELECT id FROM log_streams WHERE grp=?", (group,))
        return [row[0] for row in rows]

    # -- copies on another node ------------------------------------------------------------

    def fresh(self, mark: int) -> tuple[list[Any], int]:
        """Rows after the row ``mark``, at most a megabyte, and the last one's number. Who has
        none begins with the newest ``COPIED_MAX``. Blocking."""
        self._telemetry.flush()
        if not mark:
            top = self._telemetry.query("SELECT coalesce(max(id), 0) FROM log_events")[0][0]
            mark = max(0, top - COPIED_MAX)
        rows = self._telemetry.query(
            "SELECT id, grp, stream, ts, ingested, message FROM log_events WHERE id>?"
            " ORDER BY id LIMIT ?",
            (mark, SWEEP_ROWS),
        )
        size = taken = 0
        while taken < len(rows) and size < PIECE_BYTES:
            size += len(rows[taken][5]) + 64
            taken += 1
        return rows[:taken], rows[taken - 1][0] if taken else mark

    def take(self, rows: Sequence[Any]) -> None:
        """Queue rows of another node's store, as they are."""
        streams: dict[tuple[int, int], list[Any]] = {}
        for row in rows:
            streams.setdefault((row[2], row[1]), []).append(row)
        facts = [
            (
                *(*key, min(r[3] for r in of), max(r[3] for r in of), max(r[4] for r in of)),
                sum(len(r[5]) + 26 for r in of),
            )
            for key, of in streams.items()
        ]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(COPY, rows)
            connection.executemany(UPSERT, facts)

        self._telemetry.post(write, 2 * sum(len(row[5]) + 64 for row in rows))

    # -- removal ----------------------------------------------------------------------------

    def drop_stream(self, stream: int) -> None:
        """Forget a stream and queue the removal of its events."""
        self._telemetry.post(
            lambda c: _each(
                c,
                ("DELETE FROM log_events WHERE stream=?", (stream,)),
                ("DELETE FROM log_streams WHERE id=?", (stream,)),
            )
        )

    def drop_before(self, group: int, before_ts: int) -> None:
        """Remove a group's events older than ``before_ts``, 5,000 to a commit."""
        while True:
            found = self._telemetry.query(
                "SELECT id, length(message)+26, stream FROM log_events"
                " WHERE grp=? AND ts<? LIMIT ?",
                (group, before_ts, SWEEP_ROWS),
            )
            if not found:
                return
            self._telemetry.post(partial(_remove, found))
            self._telemetry.flush()

    def drop_group(self, group: int) -> None:
        """Remove everything of a group that no longer exists."""
        self.drop_before(group, LAST[0])
        self._telemetry.post(lambda c: _each(c, ("DELETE FROM log_streams WHERE grp=?", (group,))))


def _remove(found: list[tuple[int, int, int]], connection: sqlite3.Connection) -> None:
    connection.executemany("DELETE FROM log_events WHERE id=?", [(row[0],) for row in found])
    connection.executemany(
        "UPDATE log_streams SET bytes=max(0, bytes-?) WHERE id=?", [row[1:] for row in found]
    )


def _each(connection: sqlite3.Connection, *statements: tuple[str, tuple[int, ...]]) -> None:
    for sql, args in statements:
        connection.execute(sql, args)
