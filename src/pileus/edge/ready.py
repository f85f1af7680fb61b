"""Answers kept ready: what one spelling of a request led to, found again by one look-up.

A hit's way is long only the first time: host, behaviour, key, entry, headers. What it found is
remembered by all of the request that it depended on, and holds while the entry is in memory and
fresh, no invalidation was added, and no distribution changed. The rest goes the whole way.

A viewer repeats its header lines word for word from page to page, so they are looked at once:
``instant`` knows them by their bytes, and the page by its request line.
"""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from pileus.edge.cache import Cache, Entry
from pileus.services.call import HttpRequest, HttpResponse
from pileus.services.cloudfront import rows
from pileus.state.store import Store

READY_MAX = 4096
READY_BYTES_MAX = 32 * 1024 * 1024  # of bodies, which the cache may have let go meanwhile
BODY_BYTES_MAX = 1024 * 1024
SPELLING_CHARS_MAX = 2048
# Headers that may change a hit's answer.
TELLING = frozenset(
    {"range", "if-range", "if-none-match", "if-modified-since", "authorization", "origin"}
)
Spelling = tuple[str | None, str, str, str, bool]
Allow = Callable[[str], bool]


class Asked(NamedTuple):
    """A request as it came, and the store's stamp before anything was looked up for it."""

    spelling: Spelling
    stamp: Any


@dataclass(slots=True)
class Ready:
    """A hit's lines (all but Age and its id) and body, of an entry as it was at a time.
    ``begins``: the answer as far as its id's last digits, right from ``from_ms`` until
    ``until_ms``, when its age is one second more or it is no longer fresh."""

    entry: Entry
    lines: bytes
    body: bytes
    stamp: Any
    head: bytes
    begins: bytes = b""
    from_ms: int = 0
    until_ms: int = 0


Pages = dict[bytes, Ready]  # by request line
Viewers = dict[bytes, tuple[Pages, str]]  # pages and address, by all header lines


@dataclass(slots=True, eq=False)
class Instant:
    """The answers of one door to requests known by their bytes."""

    ready: ReadyAnswers
    allow: Allow | None  # whether an address may ask once more
    viewers: Viewers
    count: Iterator[int]

    def answer(self, data: bytes, date: bytes) -> bytes | None:
        """The whole answer to a request that came in these very bytes before, ``date`` among its
        lines; None where it must be read."""
        viewers = self.viewers
        if not viewers:
            return None
        line, _, rest = data.partition(b"\r\n")
        viewer = viewers.get(rest)
        if viewer is None:
            return None
        known = viewer[0].get(line)
        if known is None or not self.ready.stands(known):
            return None
        if self.allow is not None and not self.allow(viewer[1]):
            return None
        return b"%b%014x==\r\n%b\r\n%b" % (known.begins, next(self.count), date, known.body)


class ReadyAnswers:
    """Ready answers of one process; bounded, since clients choose what they ask for."""

    def __init__(self, store: Store, cache: Cache, clock: Any) -> None:
        self._entries = cache.entries
        self._now_ms = clock.now_ms
        self._stamp = store.stamp(rows.TABLE, rows.INVALIDATIONS)
        self._known: dict[Spelling, Ready] = {}
        self._pages: dict[tuple[str | None, str, bool], Pages] = {}  # by what viewers differ in
        self._viewers: list[Viewers] = []  # of each door
        self._bytes = 0
        self._prefix = base64.urlsafe_b64encode(clock.random_bytes(30))
        self._count = itertools.count(1)

    def instant(self, allow: Allow | None = None) -> Instant:
        """For one more door."""
        viewers: Viewers = {}
        self._viewers.append(viewers)
        return Instant(self, allow, viewers, self._count)

    def stands(self, known: Ready) -> bool:
        """Whether the answer may be given now; its beginning is then of this second."""
        entry, now_ms = known.entry, self._now_ms()
        if known.stamp != self._stamp() or self._entries.get(entry.key) is not entry:
            return False
        if known.from_ms <= now_ms < known.until_ms:
            return True
        age_s = self.age_s(known)
        if age_s < 0:
            return False
        known.begins = b"%bage: %d\r\nx-amz-cf-id: %b" % (known.head, age_s, self._prefix)
        since_ms = entry.stored_ms + age_s * 1000
        known.from_ms = min(now_ms, since_ms)
        known.until_ms = min(entry.fresh_until_ms, since_ms + 1000)
        return True

    def find(self, request: HttpRequest, door: Instant | None = None) -> HttpResponse | None:
        """The answer, if this was asked before and still holds. ``door`` knows it from now on."""
        spelling = _spelling(request)
        known = self._known.get(spelling)
        if known is None or request.method != "GET" or not TELLING.isdisjoint(request.headers):
            return None
        age_s = self.age_s(known)
        if age_s < 0:
            return None
        if door is not None and type(request.head) is bytes and not request.body:
            self._recognise(door, request, spelling, known)
        told = b"%bage: %d\r\nx-amz-cf-id: %b%014x==\r\n" % (
            known.lines,
            age_s,
            self._prefix,
            next(self._count),
        )
        return HttpResponse(200, [], known.body, -1, told)

    def age_s(self, known: Ready) -> int:
        """Its age in seconds, -1 where it no longer holds."""
        entry, now_ms = known.entry, self._now_ms()
        if (
            now_ms >= entry.fresh_until_ms
            or known.stamp != self._stamp()
            or self._entries.get(entry.key) is not entry
        ):
            return -1
        self._entries.move_to_end(entry.key)
        return max(0, (now_ms - entry.stored_ms) // 1000)

    def _recognise(
        self, door: Instant, request: HttpRequest, spelling: Spelling, known: Ready
    ) -> None:
        line, _, rest = request.head.partition(b"\r\n")
        if len(rest) > SPELLING_CHARS_MAX:
            return
        if len(door.viewers) >= READY_MAX:
            door.viewers.clear()
        pages = self._pages.setdefault((spelling[0], *spelling[3:]), {})
        pages[line] = known
        door.viewers[rest + b"\r\n\r\n"] = (pages, request.remote)

    def asked(self, request: HttpRequest) -> Asked | None:
        """What ``keep`` needs; None where the answer may hang on more than the spelling."""
        spelling = _spelling(request)
        if request.method != "GET" or not TELLING.isdisjoint(request.headers):
            return None
        if sum(map(len, (spelling[0] or "", *spelling[1:4]))) > SPELLING_CHARS_MAX:
            return None
        return Asked(spelling, self._stamp())

    def keep(self, asked: Asked, entry: Entry, response: HttpResponse) -> None:
        """Remember a hit's answer."""
        body = response.body
        told = [h for h in response.headers if h[0] not in ("age", "x-amz-cf-id")]
        text = "".join(f"{name}: {value}\r\n" for name, value in told)
        if response.status != 200 or not isinstance(body, bytes) or not text.isascii():
            return
        if len(body) > BODY_BYTES_MAX:
            return
        if text.count("\n") != len(told) or text.count("\r") != len(told):
            return
        self._bytes += len(body)
        if len(self._known) >= READY_MAX or self._bytes > READY_BYTES_MAX:
            self._bytes = len(body)
            self._known.clear()
            self._pages.clear()
            for viewers in self._viewers:
                viewers.clear()
        lines = text.encode()
        head = b"HTTP/1.1 200 OK\r\n%bcontent-length: %d\r\n" % (lines, len(body))
        self._known[asked.spelling] = Ready(entry, lines, body, asked.stamp, head)


def _spelling(request: HttpRequest) -> Spelling:
    headers = request.headers
    packed = "gzip" in headers.get("accept-encoding", "")
    return headers.get("host"), request.path, request.query, request.scheme, packed
