"""Log events of all nodes: each keeps what it took, and its neighbour a copy; whoever is asked
joins the answers.

Every method tells which nodes' part is missing, with the reason.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from functools import partial
from typing import Any

from pileus.services.call import Incomplete
from pileus.services.logs import search
from pileus.services.logs.events import Event, Events, Place, StreamFacts
from pileus.services.logs.pattern import compile_pattern
from pileus.services.logs.search import Found
from pileus.telemetry import Telemetry
from pileus.telemetry.copies import Source
from pileus.telemetry.everyone import Everyone

SEARCH_S = 0.5  # where there are several, a node looks no longer, then tells how far it came
ALONE_S = 3600.0
Missing = Mapping[str, str]


class Across:
    """``events``: this node's. What other nodes ask of them is answered from them, too."""

    def __init__(self, events: Events, everyone: Everyone) -> None:
        self._events = events
        self._everyone = everyone
        self._copies: dict[Telemetry, Events] = {}
        for what, answer in (
            ("logs.page", _page),
            ("logs.search", _search),
            ("logs.facts", lambda held, group: [[s, *f] for s, f in held.facts(group).items()]),
            ("logs.bytes", lambda held, _: list(held.bytes_by_group().items())),
        ):
            everyone.offer(what, partial(self._of_store, answer))
        everyone.copies.add(Source("logs", events.fresh, self._take))

    async def page(
        self, stream: int, low: Place, high: Place, limit: int, backward: bool
    ) -> tuple[Found, Missing]:
        """A stream's events between two places."""
        question = [stream, low, high, limit, backward]
        heard = await self._everyone.ask("logs.page", question)
        return search.joined(map(_untold, heard.answers.values()), limit, backward), heard.missing

    async def search(
        self,
        group: int,
        streams: Collection[int] | None,
        pattern: str,
        low: Place,
        high: Place,
        limit: int,
    ) -> tuple[Found, Missing]:
        """A group's events above ``low`` that match; ``streams``: of these only."""
        told = None if streams is None else list(streams)
        compile_pattern(pattern)
        patience_s = SEARCH_S if self._everyone.others.name else ALONE_S
        question = [group, told, pattern, low, high, limit, patience_s]
        heard = await self._everyone.ask("logs.search", question)
        return search.joined(map(_untold, heard.answers.values()), limit), heard.missing

    async def facts(self, group: int) -> tuple[dict[int, StreamFacts], Missing]:
        """Stream id → what its events say."""
        heard = await self._everyone.ask("logs.facts", group)
        found: dict[int, StreamFacts] = {}
        for rows in heard.answers.values():
            for stream, *more in rows:
                facts = StreamFacts(*more)
                found[stream] = _both(found[stream], facts) if stream in found else facts
        return found, heard.missing

    async def bytes_by_group(self) -> tuple[dict[int, int], Missing]:
        heard = await self._everyone.ask("logs.bytes", None)
        found: dict[int, int] = {}
        for rows in heard.answers.values():
            for group, size in rows:
                found[group] = found.get(group, 0) + size
        return found, heard.missing

    def stores(self) -> Iterator[Events]:
        """This node's events, and the copies of others' that are kept here."""
        yield self._events
        for node in self._everyone.copies.held():
            yield self._store(node)

    # -- whose events are asked for ---------------------------------------------------------

    def _of_store(self, answer: Any, node: str, question: Any) -> Any:
        return answer(self._store(node), question)

    def _store(self, node: str) -> Events:
        if node == self._everyone.others.name:
            return self._events
        copy = self._everyone.copies.of(node)
        assert copy is not None
        return self._copied(copy, node)

    def _take(self, store: Telemetry, node: str, rows: list[Any]) -> None:
        self._copied(store, node).take(rows)

    def _copied(self, store: Telemetry, node: str) -> Events:
        held = self._copies.get(store)
        if held is None:
            number = int("".join(c for c in node if c.isdigit()) or 0)
            held = self._copies[store] = Events(store, number)
        return held


def partly(answer: dict[str, Any], missing: Missing) -> dict[str, Any]:
    """The answer, told to be incomplete where it is."""
    return Incomplete(answer, missing) if missing else answer


def _page(events: Events, question: Any) -> Any:
    stream, low, high, limit, backward = question
    return _told(search.page(events, stream, tuple(low), tuple(high), limit, backward))


def _search(events: Events, question: Any) -> Any:
    group, streams, pattern, low, high, limit, patience_s = question
    some = None if streams is None else set(streams)
    matches = compile_pattern(pattern)
    found = search.search(events, group, some, matches, tuple(low), tuple(high), limit, patience_s)
    return _told(found)


def _told(found: Found) -> Any:
    return [[list(event) for event in found.events], found.upto]


def _untold(answer: Any) -> Found:
    events, upto = answer
    return Found([Event(*event) for event in events], None if upto is None else tuple(upto))


def _both(a: StreamFacts, b: StreamFacts) -> StreamFacts:
    return StreamFacts(
        min(a.first_ts, b.first_ts),
        max(a.last_ts, b.last_ts),
        max(a.ingested, b.ingested),
        a.bytes + b.bytes,
    )
