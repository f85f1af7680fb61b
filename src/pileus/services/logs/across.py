"""Log events of all nodes: each keeps what it took, whoever is asked joins the answers.

Every method tells which nodes' part is missing, with the reason.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

from pileus.services.call import Incomplete
from pileus.services.logs import search
from pileus.services.logs.events import Event, Events, Place, StreamFacts
from pileus.services.logs.pattern import compile_pattern
from pileus.services.logs.search import Found
from pileus.telemetry.others import Others

PEER_SEARCH_S = 0.5  # another node looks no longer, then tells how far it came
Missing = Mapping[str, str]


class Across:
    """``events``: this node's. What other nodes ask of them is answered from them, too."""

    def __init__(self, events: Events, others: Others) -> None:
        self._events = events
        self._others = others
        others.offer("logs.page", self._answer_page)
        others.offer("logs.search", self._answer_search)
        others.offer("logs.facts", self._answer_facts)
        others.offer("logs.bytes", lambda _: list(events.bytes_by_group().items()))

    async def page(
        self, stream: int, low: Place, high: Place, limit: int, backward: bool
    ) -> tuple[Found, Missing]:
        """A stream's events between two places."""
        question = [stream, low, high, limit, backward]
        own = partial(search.page, self._events, stream, low, high, limit, backward)
        parts, missing = await self._found("logs.page", question, own)
        return search.joined(parts, limit, backward), missing

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
        matches = compile_pattern(pattern)
        own = partial(search.search, self._events, group, streams, matches, low, high, limit)
        question = [group, told, pattern, low, high, limit]
        parts, missing = await self._found("logs.search", question, own)
        return search.joined(parts, limit), missing

    async def facts(self, group: int) -> tuple[dict[int, StreamFacts], Missing]:
        """Stream id → what its events say."""
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._events.facts, group), self._others.ask("logs.facts", group)
        )
        for rows in heard.answers.values():
            for stream, *more in rows:
                facts = StreamFacts(*more)
                own[stream] = _both(own[stream], facts) if stream in own else facts
        return own, heard.missing

    async def bytes_by_group(self) -> tuple[dict[int, int], Missing]:
        own, heard = await asyncio.gather(
            asyncio.to_thread(self._events.bytes_by_group), self._others.ask("logs.bytes", None)
        )
        for rows in heard.answers.values():
            for group, size in rows:
                own[group] = own.get(group, 0) + size
        return own, heard.missing

    async def _found(self, what: str, question: Any, own: Any) -> tuple[list[Found], Missing]:
        here, heard = await asyncio.gather(asyncio.to_thread(own), self._others.ask(what, question))
        return [here, *map(_untold, heard.answers.values())], heard.missing

    # -- what other nodes ask ---------------------------------------------------------------

    def _answer_page(self, question: Any) -> Any:
        stream, low, high, limit, backward = question
        found = search.page(self._events, stream, tuple(low), tuple(high), limit, backward)
        return _told(found)

    def _answer_search(self, question: Any) -> Any:
        group, streams, pattern, low, high, limit = question
        found = search.search(
            self._events,
            group,
            None if streams is None else set(streams),
            compile_pattern(pattern),
            tuple(low),
            tuple(high),
            limit,
            PEER_SEARCH_S,
        )
        return _told(found)

    def _answer_facts(self, group: Any) -> Any:
        return [[stream, *facts] for stream, facts in self._events.facts(group).items()]


def partly(answer: dict[str, Any], missing: Missing) -> dict[str, Any]:
    """The answer, told to be incomplete where it is."""
    return Incomplete(answer, missing) if missing else answer


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
