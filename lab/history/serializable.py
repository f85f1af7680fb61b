"""Is there one order of the transactions that explains every list that was read?

After Kingsbury and Alvaro, "Elle: inferring isolation anomalies from experimental observations"
(VLDB 2020). Every value is appended once, so a list that was read tells the order in which its
values were written. From that follow dependencies: ``ww`` (appended right after), ``wr`` (read
what another wrote), ``rw`` (did not see yet what another wrote), and ``rt`` (had ended before
another began). A cycle of them is an anomaly, named after Adya ("Weak consistency", 1999).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lab.history.graphs import Graph, components, shortest_cycle
from lab.history.records import Transaction

# From the plainest to the subtlest: name, the dependencies allowed, whether exactly one is rw.
LEVELS: tuple[tuple[str, frozenset[str], bool], ...] = (
    ("G0, write cycle", frozenset({"ww"}), False),
    ("G1c, circular information flow", frozenset({"ww", "wr"}), False),
    ("G-single, read skew", frozenset({"ww", "wr", "rw"}), True),
    ("G2, anti-dependency cycle", frozenset({"ww", "wr", "rw"}), False),
)
ODD_SHOWN_MAX = 20
REAL_TIME = tuple((f"{name}, in real time", kinds | {"rt"}, one) for name, kinds, one in LEVELS)


@dataclass(frozen=True)
class Anomaly:
    """``name`` of what went wrong, the ``transactions`` it shows in, and ``why``."""

    name: str
    transactions: tuple[Transaction, ...]
    why: str

    def __str__(self) -> str:
        return "\n  ".join([f"{self.name}: {self.why}", *map(str, self.transactions)])


def check(transactions: Iterable[Transaction], real_time: bool = True) -> list[Anomaly]:
    """Every anomaly found. ``real_time``: also in the order of the clock (strict
    serializability); without, a stale read of everything is no anomaly."""
    history = _History(list(transactions))
    odd = {(a.name, a.why): a for a in (*history.odd_values(), *history.odd_lists())}
    if odd:  # the order of writes is not known: dependencies would be guesses
        return list(odd.values())[:ODD_SHOWN_MAX]
    found = []
    graph = history.dependencies(real_time)
    covered: set[int] = set()
    for name, kinds, one in (*LEVELS, *(REAL_TIME if real_time else ())):
        for part in components(graph, kinds):
            if covered & part:
                continue
            cycle = shortest_cycle(graph, part, kinds, "rw" if one else None)
            if cycle:
                covered |= part
                found.append(history.anomaly(name, kinds, graph, cycle))
    return found


class _History:
    def __init__(self, transactions: list[Transaction]) -> None:
        self.all = transactions
        self.writers: dict[tuple[str, Any], int] = {}
        self.appended: dict[str, list[Any]] = {}
        self.reads: list[tuple[int, str, tuple[Any, ...]]] = []
        self.longest: dict[str, tuple[Any, ...]] = {}
        for number, t in enumerate(transactions):
            for kind, key, value in t.steps:
                if kind == "append":
                    assert (key, value) not in self.writers, f"{value!r} is appended twice"
                    self.writers[key, value] = number
                    self.appended.setdefault(key, []).append(value)
                elif t.outcome == "committed":
                    self.reads.append((number, key, value))
                    self.longest[key] = max(self.longest.get(key, ()), value, key=len)
        seen = {(key, v) for key, values in self.longest.items() for v in values}
        self.happened = {
            n
            for n, t in enumerate(transactions)
            if t.outcome == "committed"
            or (t.outcome == "unknown" and any(s[0] == "append" and s[1:] in seen for s in t.steps))
        }

    # -- lists that no order explains --------------------------------------------------------

    def odd_values(self) -> list[Anomaly]:
        """Values that are not there once: twice, from nobody, from an aborted transaction."""
        found = []
        for number, key, values in self.reads:
            reader = self.all[number]
            twice = sorted({v for v in values if values.count(v) > 1}, key=str)
            if len(set(values)) < len(values):
                why = f"{key} holds {twice} more than once: it took effect twice"
                found.append(Anomaly("repeated effect", (reader,), why))
            for value in values:
                writer = self.writers.get((key, value))
                if writer is None:
                    why = f"{key} holds {value!r}, which nobody appended"
                    found.append(Anomaly("value from nowhere", (reader,), why))
                elif self.all[writer].outcome == "aborted":
                    why = f"{key} holds {value!r} of a transaction that was refused"
                    found.append(Anomaly("G1a, aborted read", (self.all[writer], reader), why))
        return found

    def odd_lists(self) -> list[Anomaly]:
        """Two reads of a key where neither list begins with the other; halves of a transaction."""
        found = []
        for number, key, values in self.reads:
            longest = self.longest[key]
            if values != longest[: len(values)]:
                why = f"{key} was {values} and also {longest}"
                found.append(Anomaly("incompatible order", (self.all[number],), why))
            last = self.writers.get((key, values[-1])) if values else None
            if last is None or last == number:
                continue
            own = [s[2] for s in self.all[last].steps if s[:2] == ("append", key)]
            if own[-1] != values[-1]:
                why = f"{key} was read between the appends of one transaction"
                found.append(Anomaly("G1b, intermediate read", (self.all[last],), why))
        return found

    # -- dependencies ------------------------------------------------------------------------

    def dependencies(self, real_time: bool) -> Graph:
        graph: Graph = {n: {} for n in self.happened}
        for key, order in self.longest.items():
            unread = [
                w
                for v in self.appended.get(key, ())
                if v not in order and (w := self.writers[key, v]) in self.happened
            ]
            self._of_key(graph, key, [self.writers[key, v] for v in order], unread)
        if real_time:
            self._of_time(graph)
        return graph

    def _of_key(self, graph: Graph, key: str, order: list[int], unread: list[int]) -> None:
        """``order``: who appended each value of the longest list; ``unread``: who appended one
        that no read shows, so after all of them."""
        for first, then in itertools.pairwise(order):
            _edge(graph, first, then, "ww")
        for then in unread if order else ():
            _edge(graph, order[-1], then, "ww")
        for reader, of, values in self.reads:
            if of != key:
                continue
            if values:
                _edge(graph, order[len(values) - 1], reader, "wr")
            later = order[len(values) : len(values) + 1] or unread
            for writer in later:
                _edge(graph, reader, writer, "rw")

    def _of_time(self, graph: Graph) -> None:
        """Edges from those that ended last before a begin; the earlier ones follow from them."""
        events = [(self.all[n].began, 0, n) for n in self.happened]
        events += [(e, 1, n) for n in self.happened if (e := self.all[n].ended) is not None]
        latest: list[int] = []
        for _, ends, number in sorted(events):
            if ends:
                began = self.all[number].began
                latest = [n for n in latest if (self.all[n].ended or 0) >= began] + [number]
            else:
                for before in latest:
                    _edge(graph, before, number, "rt")

    def anomaly(self, name: str, kinds: frozenset[str], graph: Graph, cycle: list[int]) -> Anomaly:
        ring = [*cycle, cycle[0]]
        way = [max(graph[a][b] & kinds) for a, b in itertools.pairwise(ring)]
        return Anomaly(name, tuple(self.all[n] for n in cycle), " -> ".join(way))


def _edge(graph: Graph, before: int, then: int, kind: str) -> None:
    if before != then:
        graph[before].setdefault(then, set()).add(kind)
