"""Requests for small objects, known by their bytes: from the packet to the answer.

Within one second a busy client repeats its head word for word, but for the object's key, the
signature, the SDK's retry id, and, of a write, the body's hash, length and checksum. Those are cut
out; what remains names a head that the strict reader and the short way have accepted, with
everything that follows from it. What the request itself decides is checked each time: the key is
plain, the signature is right around it and the body, the time is near, and who signed still may.

The key is cut where it must stand; the other values at the same places as in the head that was
learnt, where they had lines of their own: so two heads of one name differ in the cut values alone.
The hash, the checksum and the signature are compared with computed ones, the length with the
body's, the retry id is hexadecimal and the key of plain letters: nothing can hide in a cut.
Anything else: read it.

A connection that asked something under a head expects the next under it (``bound_objects``).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pileus.services.call import FileBody, HttpRequest
from pileus.services.plain_objects import PlainObjects, Told
from pileus.wire import bound_objects
from pileus.wire.answers import Answers
from pileus.wire.bound_objects import GET, PLAIN_KEY, PUT
from pileus.wire.flight import Flight
from pileus.wire.known_heads import END, UUID
from pileus.wire.object_heads import Layout, agrees, canonical, layout
from pileus.wire.retries import object_of, write_id
from pileus.wire.router import Route
from pileus.wire.swift import Answer, expect

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.short_way import ShortWay, Signer, Verdict

HEADS_MAX = 1024
SKEW_MS = 300_000
HELD_MS = 1000  # then its age is looked at again
_ANSWER = b"HTTP/1.1 200 OK\r\n%b%bcontent-length: %d\r\n%b\r\n%b"


@dataclass(slots=True)
class KnownHead:
    """What follows from a head. ``form``: the canonical request, to be filled with the key and
    what ``filled`` cuts out of the head; ``inner`` and ``outer``: HMAC's states before its hash;
    ``folder``: what the object's key starts with; ``told``: what a write keeps, ``checked``:
    whether a read asks for checksums; ``layout``: where its values lie; ``raw``: the head but for
    the object's key; ``until_ns``: until when ``verdict`` need not be looked up; ``answer``: what
    comes under it, from its bytes."""

    form: bytes
    filled: Callable[[bytes], tuple[bytes, ...]] | None
    inner: Any
    outer: Any
    at_ms: int
    who: tuple[str, str | None, str]
    secret: str
    folder: str
    verdict: Verdict
    told: Told | None
    checked: bool
    layout: Layout
    raw: bytes
    until_ns: int = 0
    answer: Answer | None = None


class KnownObjects:
    """Bounded: clients choose the text. One per process."""

    def __init__(
        self,
        objects: PlainObjects,
        short: ShortWay,
        answers: Answers,
        request_id: Callable[[], str],
        calls: Iterator[int],
        ids: bytes,
        put: Route,
    ) -> None:
        """``ids``: both of an answer's, as header lines to be filled with the next of ``calls``
        each."""
        self._objects, self._short, self.route = objects, short, put
        self.answers, self.request_id, self.calls, self.id_lines = answers, request_id, calls, ids
        self.written = b"HTTP/1.1 200 OK\r\n%b%%b%%bcontent-length: 0\r\n\r\n" % ids
        self._now_ms, self._bucket_changes = short.now_ms, objects.changes
        self._identity_changes = short.identity_changes
        self.bytes_max = objects.bytes_max
        self._heads: dict[bytes, KnownHead] = {}
        # Of the last ones that were read or written: the next is likely cut there.
        self._gets = self._looks = self._puts = Layout({})
        self._layouts: dict[Layout, Layout] = {}
        self._last: KnownHead | None = None  # that something was asked under

    def ids(self) -> bytes:
        """Those of the next answer, as header lines."""
        call = next(self.calls)
        return self.id_lines % (call, call)

    # --- a read ------------------------------------------------------------------------------
    def get(self, data: bytes, date: bytes) -> tuple[bytes, int, FileBody | None] | None:
        """The whole answer to a GET with ``date`` among its lines, and its block of counters;
        perhaps its body in a file."""
        start = data.find(b"/", 5) + 1
        key = PLAIN_KEY.match(data, start)
        if key is None:
            return None
        end = key.end()
        head, text, place = data[:start] + data[end:], data[start:end], self._gets
        known = self._heads.get(b"".join(place.kept(head)))
        if known is None or known.layout is not place:
            known = self._other(head, writes=False)
            if known is None:
                return None
            self._gets = place = known.layout
        filled = known.filled
        request = known.form % (text if filled is None else (text, *filled(head)))
        verdict = self._believed(known, request, head[place.signature])
        if verdict is None or not verdict.may & GET or head[place.retry].translate(None, UUID):
            return None
        if known.folder:
            text = known.folder.encode() + text
        found = self._objects.small(verdict.bucket, text, known.checked)
        if found is None:
            return None
        lines, body = found
        self._last = known
        if type(body) is bytes:
            raw = _ANSWER % (lines, self.ids(), len(body), date, body)
            return raw, verdict.meters["GET"], None
        assert type(body) is FileBody
        raw = _ANSWER % (lines, self.ids(), body.length, date, b"")
        return raw, verdict.meters["GET"], body

    def head(self, data: bytes, date: bytes) -> tuple[bytes, int, None] | None:
        """The same for a HEAD."""
        start = data.find(b"/", 6) + 1
        key = PLAIN_KEY.match(data, start)
        if key is None:
            return None
        head, text, place = data[:start] + data[key.end() :], key.group(), self._looks
        known = self._heads.get(b"".join(place.kept(head)))
        if known is None or known.layout is not place:
            known = self._other(head, writes=False)
            if known is None:
                return None
            self._looks = known.layout
        filled = known.filled
        request = known.form % (text if filled is None else (text, *filled(head)))
        verdict = self._believed(known, request, head[known.layout.signature])
        retry = head[known.layout.retry]
        if verdict is None or not verdict.may & GET or retry.translate(None, UUID):
            return None
        found = self._objects.sized(verdict.bucket, known.folder.encode() + text, known.checked)
        if found is None:
            return None
        lines, size = found
        self._last = known
        return _ANSWER % (lines, self.ids(), size, date, b""), verdict.meters["HEAD"], None

    def _other(self, head: bytes, writes: bool) -> KnownHead | None:
        """A known head whose values lie elsewhere than in the last one's."""
        place = layout(head, writes)
        known = None if place is None else self._heads.get(b"".join(place.kept(head)))
        return known if known is not None and known.layout == place else None

    def repeat(self, connection: Connection, at: int) -> None:
        """``connection`` just asked something under a known head that ends at ``at``."""
        known = self._last
        assert known is not None, "only what came under a known head is repeated"
        if known.answer is None:
            bound = bound_objects.reads if known.told is None else bound_objects.writes
            known.answer = bound(self, known)
        expect(connection, at, known.answer)

    # --- a write -----------------------------------------------------------------------------
    def put(self, data: bytes, connection: Connection, begun_ns: int) -> bool:
        """Whether a PUT is on its way; ``connection`` waits for it."""
        end = data.find(END)
        start = data.find(b"/", 5) + 1
        key = PLAIN_KEY.match(data, start)
        body = data[end + 4 :]
        if key is None or end < 0 or len(body) > self.bytes_max:
            return False
        head, place = data[:start] + data[key.end() : end], self._puts
        known = self._heads.get(b"".join(place.kept(head)))
        if known is None or known.layout is not place:
            known = self._other(head, writes=True)
            if known is None:
                return False
            self._puts = place = known.layout
        digest, retry = sha256(body).hexdigest().encode(), head[place.retry]
        if (
            head[place.told] != digest
            or head[place.length] != b"%d" % len(body)
            or retry.translate(None, UUID)
        ):
            return False
        text = key.group()
        request = known.form % (text, *known.filled(head))  # type: ignore[misc]
        verdict = self._believed(known, request, head[place.signature])
        if verdict is None or not verdict.may & PUT:
            return False
        name, repeated = known.folder + text.decode(), b""
        if retry:
            of = object_of(known.who[2], name, digest.decode())
            repeated = write_id(retry.decode(), verdict.principal.arn, "PutObject", of)
        store = self._objects.storing(verdict.bucket, known.told)
        if store is None:
            return False
        flight = Flight(self, connection, data, begun_ns, verdict.meters["PUT"])
        lines = store(name, body, head[place.check], repeated, flight)
        if lines is None:
            return False
        flight.lines, connection._current, self._last = lines, flight, known
        return True

    # --- who signed --------------------------------------------------------------------------
    def _believed(self, known: KnownHead, request: bytes, signature: bytes) -> Verdict | None:
        """What the caller may do, where ``signature`` is right for a canonical request."""
        inner = known.inner.copy()
        inner.update(sha256(request).hexdigest().encode())
        outer = known.outer.copy()
        outer.update(inner.digest())
        if not compare_digest(outer.hexdigest().encode(), signature):
            return None
        verdict = known.verdict
        if (
            perf_counter_ns() < known.until_ns
            and verdict.buckets == self._bucket_changes()
            and verdict.identities == self._identity_changes()
        ):
            return verdict
        return self._judged(known)

    def _judged(self, known: KnownHead) -> Verdict | None:
        """The same, looked up again: it holds as long as no bucket and no identity changes, for a
        second at most, and no longer than the head's time is near and its key valid."""
        now_ms, verdict = self._now_ms(), known.verdict
        if (
            verdict.buckets != self._bucket_changes()
            or verdict.identities != self._identity_changes()
        ):
            judged = self._short.judge(*known.who)
            if judged is None or judged.secret != known.secret:
                return None
            known.verdict = verdict = judged
        left_ms = min(known.at_ms + SKEW_MS, verdict.expires_ms) - now_ms
        if left_ms <= 0 or known.at_ms - now_ms > SKEW_MS:
            return None
        known.until_ns = perf_counter_ns() + int(min(left_ms, HELD_MS) * 1_000_000)
        return verdict

    def learn(
        self,
        request: HttpRequest,
        signer: Signer,
        moment: tuple[int, Any],
        place: tuple[str, str],
        verdict: Verdict,
    ) -> None:
        """Keep the head of a request that the short way believed; ``place``: bucket and key."""
        raw, headers, writes = request.head, request.headers, request.method == "PUT"
        if type(raw) is not bytes or (request.body and not writes):
            return
        begin = len(request.method) + 1  # of the path
        start = raw.find(b"/", begin + 1) + 1
        key, before = PLAIN_KEY.match(raw, start), raw[begin:start].decode("latin-1")
        if key is None or " " in before:
            return
        rest = raw[:start] + raw[key.end() :] + (b"" if writes else END)
        found = layout(rest, writes)
        if found is None or not agrees(rest, found, headers, writes):
            return
        told = self._objects.told(headers) if writes else None
        if writes and told is None:
            return
        form = canonical(request, signer, before, headers["x-amz-content-sha256"], found)
        if form is None:
            return
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
            self._layouts.clear()
        known = KnownHead(
            *form,
            moment[1],
            signer.outer,
            moment[0],
            (signer.access_key_id, headers.get("x-amz-security-token"), place[0]),
            signer.secret,
            place[1][: len(place[1]) - len(key.group())],
            verdict,
            told,
            headers.get("x-amz-checksum-mode", "").upper() == "ENABLED",
            self._layouts.setdefault(found, found),
            rest + END if writes else rest,
        )
        cut = () if known.filled is None else known.filled(rest)
        if self._believed(known, known.form % (key.group(), *cut), rest[found.signature]) is None:
            return
        self._heads[b"".join(found.kept(rest))] = known
