"""Answers kept ready: what one spelling of a request led to, found again by one look-up.

A hit's way is long only the first time: host, behaviour, key, entry, headers. What it found is
remembered by all of the request that it depended on, and holds while the entry is in memory and
fresh, no invalidation was added, and no distribution changed. The rest goes the whole way.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any, NamedTuple

from pileus.edge.cache import Cache, Entry
from pileus.services.call import HttpRequest, HttpResponse
from pileus.services.cloudfront import rows
from pileus.state.store import Store

READY_MAX = 4096
SPELLING_CHARS_MAX = 2048
# Headers that may change a hit's answer.
TELLING = frozenset(
    {"range", "if-range", "if-none-match", "if-modified-since", "authorization", "origin"}
)
Spelling = tuple[str | None, str, str, str, bool]


class Asked(NamedTuple):
    """A request as it came, and the generations before anything was looked up for it."""

    spelling: Spelling
    distributions: int
    invalidations: int


@dataclass(slots=True)
class Ready:
    """A hit's lines (all but Age and its id) and body, of an entry as it was at a time."""

    entry: Entry
    lines: bytes
    body: bytes
    distributions: int
    invalidations: int


class ReadyAnswers:
    """Ready answers of one process; bounded, since clients choose what they ask for."""

    def __init__(self, store: Store, cache: Cache, clock: Any) -> None:
        self._entries = cache.entries
        self._now_ms = clock.now_ms
        self._distributions = store.counter(rows.TABLE)
        self._invalidations = store.counter(rows.INVALIDATIONS)
        self._known: dict[Spelling, Ready] = {}
        self._prefix = base64.urlsafe_b64encode(clock.random_bytes(30))
        self._count = 0

    def find(self, request: HttpRequest) -> HttpResponse | None:
        """The answer, if this was asked before and still holds."""
        headers = request.headers
        known = self._known.get(_spelling(request))
        if known is None or request.method != "GET" or not TELLING.isdisjoint(headers):
            return None
        entry, now_ms = known.entry, self._now_ms()
        if (
            now_ms >= entry.fresh_until_ms
            or known.invalidations != self._invalidations()
            or known.distributions != self._distributions()
            or self._entries.get(entry.key) is not entry
        ):
            return None
        self._entries.move_to_end(entry.key)
        age_s = max(0, (now_ms - entry.stored_ms) // 1000)
        self._count = count = self._count + 1
        lines = (known.lines, age_s, self._prefix, count)
        told = b"%bage: %d\r\nx-amz-cf-id: %b%014x==\r\n" % lines
        return HttpResponse(200, [], known.body, -1, told)

    def asked(self, request: HttpRequest) -> Asked | None:
        """What ``keep`` needs; None where the answer may hang on more than the spelling."""
        spelling = _spelling(request)
        if request.method != "GET" or not TELLING.isdisjoint(request.headers):
            return None
        if sum(map(len, (spelling[0] or "", *spelling[1:4]))) > SPELLING_CHARS_MAX:
            return None
        return Asked(spelling, self._distributions(), self._invalidations())

    def keep(self, asked: Asked, entry: Entry, response: HttpResponse) -> None:
        """Remember a hit's answer."""
        body = response.body
        told = [h for h in response.headers if h[0] not in ("age", "x-amz-cf-id")]
        text = "".join(f"{name}: {value}\r\n" for name, value in told)
        if response.status != 200 or not isinstance(body, bytes) or not text.isascii():
            return
        if text.count("\n") != len(told) or text.count("\r") != len(told):
            return
        if len(self._known) >= READY_MAX:
            self._known.clear()
        self._known[asked.spelling] = Ready(entry, text.encode(), body, *asked[1:])


def _spelling(request: HttpRequest) -> Spelling:
    headers = request.headers
    packed = "gzip" in headers.get("accept-encoding", "")
    return headers.get("host"), request.path, request.query, request.scheme, packed
