"""Data points in the telemetry store: one row per datum, found by metric and time.

A metric is an account's and region's namespace, name and dimensions. A row is a statistic set
(count, sum, least, most) of one moment; ``vals`` holds the values it is made of where there are
several and they are known, for percentiles.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from pileus.telemetry import Telemetry

SCHEMA = """
CREATE TABLE IF NOT EXISTS cw_metrics(
  id INTEGER PRIMARY KEY, place TEXT NOT NULL, namespace TEXT NOT NULL, name TEXT NOT NULL,
  dimensions TEXT NOT NULL, seen INTEGER NOT NULL, UNIQUE(place, namespace, name, dimensions));
CREATE TABLE IF NOT EXISTS cw_points(
  metric INTEGER NOT NULL, at INTEGER NOT NULL, span INTEGER NOT NULL, count REAL NOT NULL,
  sum REAL NOT NULL, least REAL NOT NULL, most REAL NOT NULL, unit TEXT NOT NULL, vals BLOB);
CREATE INDEX IF NOT EXISTS cw_points_by_time ON cw_points(metric, at)
"""
DAY_S = 86_400
# How long points are kept, and what they are merged into then (API reference, GetMetricStatistics):
# of a second for 3 hours, of a minute for 15 days, of 5 minutes for 63, of an hour for 455.
AGES = ((3 * 3600, 60), (15 * DAY_S, 300), (63 * DAY_S, 3600))
KEPT_S = 455 * DAY_S
COPIED_S, COPIED_ROWS = 2 * 3600, 5000
VALUES_MAX = 1000  # of a merged row


@dataclass(frozen=True, slots=True)
class Metric:
    """``place`` is account/region; ``dimensions`` are sorted pairs."""

    place: str
    namespace: str
    name: str
    dimensions: tuple[tuple[str, str], ...] = ()

    def told(self) -> list[Any]:
        return [self.place, self.namespace, self.name, orjson.dumps(self.dimensions).decode()]

    @classmethod
    def untold(cls, row: Sequence[Any]) -> Metric:
        """The inverse of ``told``."""
        place, namespace, name, dimensions = row
        return cls(place, namespace, name, _dimensions(dimensions))

    def shown(self) -> dict[str, Any]:
        """As the API shows a metric."""
        dimensions = [{"Name": n, "Value": v} for n, v in self.dimensions]
        return {"Namespace": self.namespace, "MetricName": self.name, "Dimensions": dimensions}


@dataclass(frozen=True, slots=True)
class Point:
    """``at`` in whole seconds; ``span`` 1 (high resolution) or 60 seconds and more."""

    at: int
    span: int
    count: float
    sum: float
    least: float
    most: float
    unit: str = "None"
    values: tuple[tuple[float, float], ...] | None = None  # (value, how often)

    def distribution(self) -> tuple[tuple[float, float], ...] | None:
        """The values this point is made of, where they are known."""
        if self.values is not None:
            return self.values
        if self.count == 1 or self.least == self.most:
            return ((self.least, self.count),)
        return None


class Points:
    """Reading and writing of them. One per process."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._opened = False

    def _open(self) -> None:
        """Make the tables at the first use: a start need not wait for a disk."""
        if not self._opened:
            self._telemetry.post(_create)
            self._opened = True

    def put(self, points: Sequence[tuple[Metric, Point]]) -> None:
        """On disk within a second; ``Unavailable`` when the disk refuses."""
        self._open()
        self._telemetry.post(lambda c: self._write(c, points), 160 * len(points))

    def _write(self, c: sqlite3.Connection, points: Sequence[tuple[Metric, Point]]) -> None:
        """On the telemetry's thread. Ids are looked up in the transaction that uses them: one that
        was rolled back left none behind."""
        ids: dict[Metric, int] = {}
        newest: dict[int, int] = {}
        rows = []
        for metric, p in points:
            number = ids.get(metric)
            if number is None:
                number = ids[metric] = _number(c, metric, p.at)
            newest[number] = max(newest.get(number, 0), p.at)
            vals = None if p.values is None else orjson.dumps(p.values)
            rows.append((number, p.at, p.span, p.count, p.sum, p.least, p.most, p.unit, vals))
        c.executemany("INSERT INTO cw_points VALUES(?,?,?,?,?,?,?,?,?)", rows)
        c.executemany(
            "UPDATE cw_metrics SET seen=max(seen,?) WHERE id=?",
            [(at, number) for number, at in newest.items()],
        )

    def read(self, metric: Metric, start: int, end: int, unit: str = "") -> list[Point]:
        """Points with start <= at < end in order. Blocking."""
        rows = self._telemetry.query(
            "SELECT at, span, count, sum, least, most, unit, vals FROM cw_points WHERE metric="
            "(SELECT id FROM cw_metrics WHERE place=? AND namespace=? AND name=? AND dimensions=?)"
            " AND at>=? AND at<? ORDER BY at",
            [*metric.told(), start, end],
        )
        return [_point(r) for r in rows if not unit or r[6] == unit]

    def metrics(
        self, place: str, namespace: str = "", name: str = "", since: int = 0
    ) -> list[Metric]:
        """Metrics with points since ``since``, in order of namespace, name and dimensions."""
        rows = self._telemetry.query(
            "SELECT place, namespace, name, dimensions FROM cw_metrics WHERE place=? AND seen>=?"
            " AND (?='' OR namespace=?) AND (?='' OR name=?) ORDER BY namespace, name, dimensions",
            [place, since, namespace, namespace, name, name],
        )
        return [Metric(r[0], r[1], r[2], _dimensions(r[3])) for r in rows]

    def fresh(self, mark: int) -> tuple[list[Any], int]:
        """Points after the row ``mark``, of the last hours (older ones are merged ones), and how
        far they go. Blocking."""
        self.flush()
        top = int(self._telemetry.query("SELECT coalesce(max(rowid), 0) FROM cw_points")[0][0])
        since = int(time.time()) - COPIED_S
        rows = self._telemetry.query(
            "SELECT p.rowid, m.place, m.namespace, m.name, m.dimensions, p.at, p.span, p.count,"
            " p.sum, p.least, p.most, p.unit, p.vals FROM cw_points p JOIN cw_metrics m"
            " ON m.id=p.metric WHERE p.rowid>? AND p.rowid<=? AND p.at>=? ORDER BY p.rowid LIMIT ?",
            (mark, top, since, COPIED_ROWS),
        )
        return [row[1:] for row in rows], rows[-1][0] if len(rows) == COPIED_ROWS else top

    def take(self, rows: Iterable[Any]) -> None:
        """Queue points of another node's store."""
        self.put([(Metric.untold(row[:4]), _point(row[4:])) for row in rows])

    def flush(self) -> None:
        """Before reading: what this process put is committed, and there are tables."""
        self._open()
        self._telemetry.flush()

    def sweep(self, now_s: int) -> None:
        """Merge what is old into longer spans, forget what is too old. Blocking for as long as it
        takes to post; the work is the telemetry thread's."""
        self._open()
        for age, span in AGES:
            before = (now_s - age) // span * span
            self._telemetry.post(partial(_merge, before=before, span=span))
        self._telemetry.post(lambda c: _forget(c, now_s - KEPT_S))


def _create(c: sqlite3.Connection) -> None:
    for statement in filter(str.strip, SCHEMA.split(";")):
        c.execute(statement)


def _number(c: sqlite3.Connection, metric: Metric, at: int) -> int:
    told = metric.told()
    c.execute(
        "INSERT OR IGNORE INTO cw_metrics(place, namespace, name, dimensions, seen)"
        " VALUES(?,?,?,?,?)",
        [*told, at],
    )
    found = c.execute(
        "SELECT id FROM cw_metrics WHERE place=? AND namespace=? AND name=? AND dimensions=?", told
    ).fetchone()
    return int(found[0])


def _merge(c: sqlite3.Connection, before: int, span: int) -> None:
    """Rows of shorter spans before this moment, a row for each metric, unit and ``span``."""
    rows = c.execute(
        "SELECT rowid, metric, at, count, sum, least, most, unit, vals FROM cw_points"
        " WHERE at<? AND span<? ORDER BY metric, unit, at LIMIT 20000",
        (before, span),
    ).fetchall()
    groups: dict[tuple[int, str, int], list[Any]] = {}
    for row in rows:
        groups.setdefault((row[1], row[7], row[2] // span * span), []).append(row)
    for (metric, unit, at), group in groups.items():
        merged = join(_points(group))
        vals = None if merged.values is None else orjson.dumps(merged.values)
        told = (metric, at, span, merged.count, merged.sum, merged.least, merged.most, unit, vals)
        c.execute("INSERT INTO cw_points VALUES(?,?,?,?,?,?,?,?,?)", told)
    c.executemany("DELETE FROM cw_points WHERE rowid=?", [(row[0],) for row in rows])


def _forget(c: sqlite3.Connection, before: int) -> None:
    c.execute("DELETE FROM cw_points WHERE at<?", (before,))
    c.execute("DELETE FROM cw_metrics WHERE seen<?", (before,))


def _point(r: Sequence[Any]) -> Point:
    return Point(r[0], r[1], r[2], r[3], r[4], r[5], r[6], None if r[7] is None else _pairs(r[7]))


def _points(rows: Iterable[Any]) -> list[Point]:
    return [
        Point(r[2], 0, r[3], r[4], r[5], r[6], r[7], None if r[8] is None else _pairs(r[8]))
        for r in rows
    ]


def join(points: Sequence[Point]) -> Point:
    """Several points as one; the values where all are known and not too many."""
    held: dict[float, float] | None = {}
    for point in points:
        known = point.distribution()
        if known is None or held is None:
            held = None
            continue
        for value, count in known:
            held[value] = held.get(value, 0.0) + count
    values = None if held is None or len(held) > VALUES_MAX else tuple(sorted(held.items()))
    return Point(
        points[0].at,
        0,
        sum(p.count for p in points),
        sum(p.sum for p in points),
        min(p.least for p in points),
        max(p.most for p in points),
        points[0].unit,
        values,
    )


def _pairs(raw: bytes) -> tuple[tuple[float, float], ...]:
    return tuple((v, c) for v, c in orjson.loads(raw))


def _dimensions(text: str) -> tuple[tuple[str, str], ...]:
    return tuple((n, v) for n, v in orjson.loads(text))
