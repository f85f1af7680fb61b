"""Looking for events in one node's store: pages of a stream, matches in a group. Blocking."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import NamedTuple

from pileus.services.logs.events import Event, Events, Place

EVENTS_MAX = 10_000
ANSWER_BYTES_MAX = 1_048_576
SCAN_EVENTS_MAX = 50_000  # one look goes through no more, then answers how far it came
BATCH = 2000


class Found(NamedTuple):
    """Events in order; of the places looked at, all up to ``upto`` (None: to the end)."""

    events: list[Event]
    upto: Place | None


def page(events: Events, stream: int, low: Place, high: Place, limit: int, backward: bool) -> Found:
    """Events of a stream between two places, the newest first if ``backward``."""
    found = events.read("stream", stream, low, high, limit, backward)
    fitting = fit(found)
    cut = len(fitting) < len(found) or len(found) == limit
    return Found(fitting, fitting[-1].place if cut else None)


def search(
    events: Events,
    group: int,
    streams: Collection[int] | None,
    matches: Callable[[str], bool],
    low: Place,
    high: Place,
    limit: int,
    patience_s: float = 3600.0,
) -> Found:
    """Matching events of a group above ``low``; ``streams``: of these only."""
    found: list[Event] = []
    scanned = size = 0
    until = time.monotonic() + patience_s
    while scanned < SCAN_EVENTS_MAX and time.monotonic() < until:
        batch = events.read("grp", group, low, high, BATCH)
        for event in batch:
            if (streams is None or event.stream in streams) and matches(event.message):
                size += len(event.message)
                if len(found) == limit or (found and size > ANSWER_BYTES_MAX):
                    return Found(found, low)
                found.append(event)
            low = event.place
        scanned += len(batch)
        if len(batch) < BATCH:
            return Found(found, None)
    return Found(found, low)


def joined(parts: Iterable[Found], limit: int, backward: bool = False) -> Found:
    """What several nodes found, as one would have: up to where all of them have looked."""
    parts = list(parts)
    ends = [part.upto for part in parts if part.upto is not None]
    end = (max(ends) if backward else min(ends)) if ends else None
    events = [e for part in parts for e in part.events if end is None or _within(e, end, backward)]
    events.sort(key=lambda event: event.place, reverse=backward)
    fitting = fit(events[:limit])
    if len(fitting) < len(events):
        end = fitting[-1].place
    return Found(fitting, end)


def _within(event: Event, end: Place, backward: bool) -> bool:
    return event.place >= end if backward else event.place <= end


def fit(events: list[Event]) -> list[Event]:
    """The first events that fit one answer of 1 MB."""
    size = 0
    for at, event in enumerate(events):
        size += len(event.message) + 26
        if at and size > ANSWER_BYTES_MAX:
            return events[:at]
    return events
