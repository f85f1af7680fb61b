"""Data points of all nodes: each keeps those it was given, whoever is asked joins the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from pileus.services.cloudwatch.points import Metric, Point, Points
from pileus.telemetry.others import Others

Missing = Mapping[str, str]  # node → why its part is missing


class Wanted(NamedTuple):
    """A metric's points with start <= at < end."""

    metric: Metric
    start: int
    end: int


class Reader(Protocol):
    """Where points are read from."""

    def read(self, metric: Metric, start: int, end: int, unit: str = "") -> list[Point]: ...


class Held:
    """Points that were gathered, in memory."""

    def __init__(self, points: Mapping[Metric, list[Point]], missing: Missing) -> None:
        self._points = points
        self.missing = missing

    def read(self, metric: Metric, start: int, end: int, unit: str = "") -> list[Point]:
        """As ``Points.read``."""
        return [
            p
            for p in self._points.get(metric, ())
            if start <= p.at < end and (not unit or p.unit == unit)
        ]


class Across:
    """``points``: this node's. What other nodes ask of them is answered from them, too."""

    def __init__(self, points: Points, others: Others) -> None:
        self._points = points
        self._others = others
        others.offer("cloudwatch.points", self._answer_points)
        others.offer("cloudwatch.metrics", self._answer_metrics)

    async def gather(self, wanted: Iterable[Wanted]) -> Held:
        """The points of all nodes, in order of time."""
        spans: dict[Metric, Wanted] = {}
        for one in wanted:
            known = spans.get(one.metric, one)
            start, end = min(known.start, one.start), max(known.end, one.end)
            spans[one.metric] = Wanted(one.metric, start, end)
        asked = list(spans.values())
        question = [[list(w.metric.told()), w.start, w.end] for w in asked]
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._read, asked), self._others.ask("cloudwatch.points", question)
        )
        for answer in heard.answers.values():
            for held, rows in zip(own, answer, strict=True):
                held.extend(_point(row) for row in rows)
        if heard.answers:
            for held in own:
                held.sort(key=lambda point: point.at)
        found = {w.metric: points for w, points in zip(asked, own, strict=True)}
        return Held(found, heard.missing)

    async def metrics(
        self, place: str, namespace: str, name: str, since: int
    ) -> tuple[list[Metric], Missing]:
        """As ``Points.metrics``, of all nodes."""
        question = [place, namespace, name, since]
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._metrics, question),
            self._others.ask("cloudwatch.metrics", question),
        )
        if not heard.answers:
            return own, heard.missing
        found = set(own)
        for answer in heard.answers.values():
            found.update(Metric.untold(row) for row in answer)
        order = sorted(found, key=lambda m: m.told())
        return order, heard.missing

    def _read(self, wanted: Iterable[Wanted]) -> list[list[Point]]:
        self._points.flush()
        return [self._points.read(w.metric, w.start, w.end) for w in wanted]

    def _metrics(self, question: Any) -> list[Metric]:
        self._points.flush()
        return self._points.metrics(*question)

    # -- what other nodes ask ---------------------------------------------------------------

    def _answer_points(self, question: Any) -> Any:
        wanted = [Wanted(Metric.untold(told), start, end) for told, start, end in question]
        return [[_row(point) for point in points] for points in self._read(wanted)]

    def _answer_metrics(self, question: Any) -> Any:
        return [metric.told() for metric in self._metrics(question)]


def _row(p: Point) -> list[Any]:
    return [p.at, p.span, p.count, p.sum, p.least, p.most, p.unit, p.values]


def _point(row: list[Any]) -> Point:
    at, span, count, total, least, most, unit, values = row
    known = None if values is None else tuple((v, n) for v, n in values)
    return Point(at, span, count, total, least, most, unit, known)
