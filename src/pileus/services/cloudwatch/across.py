"""Data points of all nodes: each keeps those it was given, and its neighbour a copy; whoever is
asked joins the answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

from pileus.services.cloudwatch.points import Metric, Point, Points
from pileus.telemetry import Telemetry
from pileus.telemetry.copies import Source
from pileus.telemetry.everyone import Everyone

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

    def __init__(self, points: Points, everyone: Everyone) -> None:
        self._points = points
        self._everyone = everyone
        self._copies: dict[Telemetry, Points] = {}
        everyone.offer("cloudwatch.points", self._answer_points)
        everyone.offer("cloudwatch.metrics", self._answer_metrics)
        everyone.copies.add(Source("cloudwatch", points.fresh, self._take))

    async def gather(self, wanted: Iterable[Wanted]) -> Held:
        """The points of all nodes, in order of time."""
        spans: dict[Metric, Wanted] = {}
        for one in wanted:
            known = spans.get(one.metric, one)
            start, end = min(known.start, one.start), max(known.end, one.end)
            spans[one.metric] = Wanted(one.metric, start, end)
        question = [[list(w.metric.told()), w.start, w.end] for w in spans.values()]
        heard = await self._everyone.ask("cloudwatch.points", question)
        found: dict[Metric, list[Point]] = {metric: [] for metric in spans}
        for answer in heard.answers.values():
            for held, rows in zip(found.values(), answer, strict=True):
                held.extend(_point(row) for row in rows)
        for held in found.values():
            held.sort(key=lambda point: point.at)
        return Held(found, heard.missing)

    async def metrics(
        self, place: str, namespace: str, name: str, since: int
    ) -> tuple[list[Metric], Missing]:
        """As ``Points.metrics``, of all nodes."""
        heard = await self._everyone.ask("cloudwatch.metrics", [place, namespace, name, since])
        found = {tuple(row) for answer in heard.answers.values() for row in answer}
        return [Metric.untold(row) for row in sorted(found)], heard.missing

    def stores(self) -> Iterator[Points]:
        """This node's points, and the copies of others' that are kept here."""
        yield self._points
        for node in self._everyone.copies.held():
            yield self._store(node)

    # -- whose points are asked for ---------------------------------------------------------

    def _answer_points(self, node: str, question: Any) -> Any:
        points = self._store(node)
        points.flush()
        return [
            [_row(point) for point in points.read(Metric.untold(told), start, end)]
            for told, start, end in question
        ]

    def _answer_metrics(self, node: str, question: Any) -> Any:
        points = self._store(node)
        points.flush()
        return [metric.told() for metric in points.metrics(*question)]

    def _store(self, node: str) -> Points:
        if node == self._everyone.others.name:
            return self._points
        copy = self._everyone.copies.of(node)
        assert copy is not None
        return self._copied(copy)

    def _take(self, store: Telemetry, node: str, rows: list[Any]) -> None:
        self._copied(store).take(rows)

    def _copied(self, store: Telemetry) -> Points:
        held = self._copies.get(store)
        if held is None:
            held = self._copies[store] = Points(store)
        return held


def _row(p: Point) -> list[Any]:
    return [p.at, p.span, p.count, p.sum, p.least, p.most, p.unit, p.values]


def _point(row: list[Any]) -> Point:
    at, span, count, total, least, most, unit, values = row
    known = None if values is None else tuple((v, n) for v, n in values)
    return Point(at, span, count, total, least, most, unit, known)
