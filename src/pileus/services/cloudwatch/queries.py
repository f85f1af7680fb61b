"""MetricDataQueries: read the metrics they name, compute the expressions over them. Used by
GetMetricData and by alarms.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_MetricDataQuery.html
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pileus.services.cloudwatch import expressions, faults, shapes
from pileus.services.cloudwatch.across import Reader, Wanted
from pileus.services.cloudwatch.mathematics import Calculation, Series, Value
from pileus.services.cloudwatch.points import Metric, Point
from pileus.services.cloudwatch.statistics import Statistic, statistic

QUERIES_MAX = 500
_ID = re.compile(r"[a-z][A-Za-z0-9_]{0,254}\Z")


@dataclass(frozen=True, slots=True)
class Query:
    """One query, checked. Either ``metric`` or ``expression``."""

    id: str
    label: str
    returned: bool
    period: int = 60
    metric: Metric | None = None
    stat: Statistic | None = None
    unit: str = ""
    expression: expressions.Node | None = None
    stat_name: str = ""


def check(told: Sequence[Mapping[str, Any]], place: str) -> list[Query]:
    """Queries whose ids differ and whose expressions name queries there are."""
    if not 1 <= len(told) <= QUERIES_MAX:
        raise faults.validation(f"Between 1 and {QUERIES_MAX} MetricDataQueries are needed.")
    found = _labelled([_query(q, place) for q in told])
    ids = [q.id for q in found]
    if len(set(ids)) < len(ids):
        raise faults.validation("The values for parameter Id in MetricDataQueries are not unique.")
    for query in found:
        if query.expression is not None:
            named = expressions.names(query.expression) - {"REPEAT", "LINEAR"}
            unknown = named - set(ids) - {query.id} | named & {query.id}
            if unknown:
                raise faults.validation(
                    f"Error in expression '{query.id}': unknown or own identifier"
                    f" {sorted(unknown)[0]!r}."
                )
    return found


def _labelled(queries: list[Query]) -> list[Query]:
    """A metric without a label is told by its name and, where these are not all the same, its
    statistic and its period."""
    bare = [q for q in queries if q.metric is not None and not q.label]
    stats, periods = {q.stat_name for q in bare}, {q.period for q in bare}

    def label(query: Query) -> str:
        assert query.metric is not None
        words = [query.metric.name]
        words += [query.stat_name] if len(stats) > 1 else []
        words += [str(query.period)] if len(periods) > 1 else []
        return " ".join(words)

    return [replace(q, label=label(q)) if q in bare else q for q in queries]


def _query(told: Mapping[str, Any], place: str) -> Query:
    name = str(told.get("Id") or "")
    if not _ID.match(name):
        raise faults.validation(f"The value {name!r} for parameter Id is not matching pattern.")
    stat, expression = told.get("MetricStat"), told.get("Expression")
    if bool(stat) == bool(expression):
        raise faults.validation(f"Query {name!r} needs exactly one of MetricStat and Expression.")
    returned = told.get("ReturnData") is not False
    if stat:
        metric = shapes.metric(place, stat["Metric"])
        return Query(
            name,
            told.get("Label") or "",
            returned,
            shapes.period(int(stat["Period"])),
            metric,
            statistic(stat["Stat"]),
            shapes.unit(stat.get("Unit")),
            stat_name=stat["Stat"],
        )
    node = expressions.parse(str(expression))
    return Query(name, told.get("Label") or name, returned, expression=node)


def wanted(queries: Sequence[Query], start: float, end: float) -> list[Wanted]:
    """The points that ``compute`` will read."""
    return [
        Wanted(query.metric, *_span(query, start, end))
        for query in queries
        if query.metric is not None
    ]


def _span(query: Query, start: float, end: float) -> tuple[int, int]:
    return int(start // query.period) * query.period, int(-(-end // 1))


def compute(points: Reader, queries: Sequence[Query], start: float, end: float) -> dict[str, Value]:
    """What each query comes to, by id. Blocking."""
    held: dict[str, Value] = {}
    metrics: list[Series] = []
    for query in queries:
        if query.metric is not None:
            series = _read(points, query, start, end)
            metrics.append(series)
            held[query.id] = series
    waiting = [q for q in queries if q.expression is not None]
    while waiting:
        ready = [q for q in waiting if not _needs(q) & {w.id for w in waiting}]
        if not ready:
            raise faults.validation("The expressions refer to each other in a circle.")
        for query in ready:
            assert query.expression is not None
            value = Calculation(held, metrics).value(query.expression)
            held[query.id] = _named(value, query)
        waiting = [q for q in waiting if q not in ready]
    return held


def _needs(query: Query) -> set[str]:
    return set() if query.expression is None else expressions.names(query.expression)


def _named(value: Value, query: Query) -> Value:
    if isinstance(value, Series):
        return replace(value, id=query.id, label=query.label)
    return value


def _read(points: Reader, query: Query, start: float, end: float) -> Series:
    assert query.metric is not None and query.stat is not None
    period = query.period
    (first, until), last = _span(query, start, end), -int(-end // period) * period
    groups: dict[int, list[Point]] = {}
    for point in points.read(query.metric, first, until, query.unit):
        groups.setdefault(point.at // period * period, []).append(point)
    told = {at: query.stat(group) for at, group in sorted(groups.items())}
    known = {at: v for at, v in told.items() if v is not None}
    return Series(query.id, query.label, period, known, first, last)
