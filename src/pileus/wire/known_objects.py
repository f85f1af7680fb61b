"""Requests for small objects, known by their bytes: from the packet to the answer.

Within one second a busy client repeats its head word for word, but for the object's key, the
signature, the SDK's retry id, and, of a write, the body's hash and length. Those are cut out; what
remains names a head that the strict reader and the short way have accepted, with everything that
follows from it. What the request itself decides is checked each time: the key is plain, the
signature is right around it and the body, the time is near, and who signed still may.

The key is cut where it must stand; a read's other values at the only places where their markers
stand, and all before a cut is part of the name; a write's at the same places as in the head that
was learnt: so two heads of one name differ in the cut values alone. The hash and the signature are
compared with computed ones, the length with the body's, the retry id is hexadecimal and the key of
plain letters: nothing can hide in a cut. Anything else: read it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

from pileus.services.call import FileBody, HttpRequest
from pileus.services.plain_objects import PlainObjects
from pileus.wire.answers import Answers
from pileus.wire.claims import invocation
from pileus.wire.flight import Flight
from pileus.wire.router import Route

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.short_way import ShortWay, Signer, Verdict

HEADS_MAX = 1024
SKEW_MS = 300_000
GET, PUT = 1, 2
# The key of a path that is its own canonical form, its first part aside.
_PLAIN_KEY = re.compile(rb"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*){0,62}")
_END = b"\r\n\r\n"
_SIGNATURE, _HASH, _LENGTH, _RETRY = b"Signature=", b"256: ", b"ength: ", b"invocation-id: "
_MARKS = (_SIGNATURE, _HASH, _LENGTH, _RETRY)
_UUID = b"0123456789abcdef-"
_ANSWER = b"HTTP/1.1 200 OK\r\n%b%bcontent-length: %d\r\n%b\r\n%b"
# Cut values that may not be signed: the canonical request is made without them.
_CUT = frozenset({"content-length", "amz-sdk-invocation-id"})
# Of a head without its key: the five pieces that name it; its signature, body's hash, retry id and
# length.
Layout = tuple[slice, ...]
_READ: Layout = (slice(0, 0),) * 9
_KEY_MARK, _HASH_MARK = "\x00", "\x01"  # in no header


@dataclass(slots=True)
class KnownHead:
    """What follows from a head. ``form``: the canonical request, to be filled with the key and
    (of a write) twice the body's hash; ``inner`` and ``outer``: HMAC's states before its hash;
    ``folder``: what the object's key starts with; ``told``: the headers a write keeps;
    ``layout``: where its head was cut."""

    form: bytes
    inner: Any
    outer: Any
    at_ms: int
    who: tuple[str, str | None, str]
    secret: str
    folder: str
    verdict: Verdict
    told: dict[str, str]
    layout: Layout


class KnownObjects:
    """Bounded: clients choose the text. One per process."""

    def __init__(
        self,
        objects: PlainObjects,
        short: ShortWay,
        answers: Answers,
        request_id: Callable[[], str],
        ids: Callable[[], bytes],
        put: Route,
    ) -> None:
        self._objects, self._short, self.route = objects, short, put
        self.answers, self.request_id, self.ids = answers, request_id, ids
        self._now_ms, self._bucket_changes = short.now_ms, objects.changes
        self._identity_changes = short.identity_changes
        self._bytes_max = objects.bytes_max
        self._heads: dict[bytes, KnownHead] = {}
        self._layout: Layout = _READ  # of the last write

    # --- a read ------------------------------------------------------------------------------
    def get(self, data: bytes, date: bytes) -> tuple[bytes, int, FileBody | None] | None:
        """The whole answer to a GET with ``date`` among its lines, and its block of counters;
        perhaps its body in a file."""
        start = data.find(b"/", 5) + 1
        key = _PLAIN_KEY.match(data, start)
        at = data.find(_SIGNATURE) + 10
        if key is None or at < 10:
            return None
        end = key.end()
        name = data[:start] + data[end:at] + data[at + 64 :]
        cut = name.find(_RETRY) + 15
        if cut >= 15:
            if name[cut : cut + 36].translate(None, _UUID):
                return None
            name = name[:cut] + name[cut + 36 :]
        known = self._heads.get(name)
        if known is None:
            return None
        text = data[start:end]
        verdict = self._believed(known, known.form % text, data[at : at + 64])
        if verdict is None or not verdict.may & GET:
            return None
        if known.folder:
            text = known.folder.encode() + text
        found = self._objects.small(verdict.bucket, text)
        if found is None:
            return None
        lines, body = found
        if type(body) is bytes:
            filled = lines, self.ids(), len(body), date, body
            return _ANSWER % filled, verdict.meters["GET"], None
        assert type(body) is FileBody
        filled = lines, self.ids(), body.length, date, b""
        return _ANSWER % filled, verdict.meters["GET"], body

    # --- a write -----------------------------------------------------------------------------
    def put(self, data: bytes, connection: Connection, begun_ns: int) -> bool:
        """Whether a PUT is on its way; ``connection`` waits for it."""
        end = data.find(_END)
        start = data.find(b"/", 5) + 1
        key = _PLAIN_KEY.match(data, start)
        body = data[end + 4 :]
        if key is None or end < 0 or len(body) > self._bytes_max:
            return False
        head, sized = data[:start] + data[key.end() : end], b"%d" % len(body)
        a, b, c, d, e, signature, told, retry_id, length = layout = self._layout
        known = self._heads.get(head[a] + head[b] + head[c] + head[d] + head[e])
        if known is None or known.layout is not layout:
            known = self._other(head, sized)
            if known is None:
                return False
            *_, signature, told, retry_id, length = known.layout
        digest, retry = sha256(body).hexdigest().encode(), head[retry_id]
        if head[told] != digest or head[length] != sized or retry.translate(None, _UUID):
            return False
        text = key.group()
        verdict = self._believed(known, known.form % (text, digest, digest), head[signature])
        if verdict is None or not verdict.may & PUT:
            return False
        repeated = b""
        if retry:
            repeated = invocation(retry.decode(), verdict.principal.arn, "PutObject")
        flight = Flight(self, connection, data, begun_ns, verdict.meters["PUT"])
        name = known.folder + text.decode()
        lines = self._objects.put_soon(verdict.bucket, name, body, known.told, repeated, flight)
        if lines is None:
            return False
        flight.lines = lines
        connection._current = flight
        return True

    def _other(self, head: bytes, sized: bytes) -> KnownHead | None:
        """A known head whose values lie elsewhere than in the last one's."""
        layout = _layout(head, sized)
        known = None if layout is None else self._heads.get(_name(head, layout))
        if known is None or known.layout != layout:
            return None
        self._layout = known.layout
        return known

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
            verdict.buckets != self._bucket_changes()
            or verdict.identities != self._identity_changes()
        ):
            judged = self._short.judge(*known.who)
            if judged is None or judged.secret != known.secret:
                return None
            known.verdict = verdict = judged
        now_ms = self._now_ms()
        near = -SKEW_MS <= now_ms - known.at_ms <= SKEW_MS
        return verdict if near and now_ms < verdict.expires_ms else None

    def learn(
        self,
        request: HttpRequest,
        signer: Signer,
        moment: tuple[int, Any],
        place: tuple[str, str],
        verdict: Verdict,
    ) -> None:
        """Keep the head of a request that the short way believed; ``place``: bucket and key."""
        raw, headers = request.head, request.headers
        writes = request.method == "PUT"
        if type(raw) is not bytes or request.method == "HEAD" or (request.body and not writes):
            return
        start = raw.find(b"/", 5) + 1
        key = _PLAIN_KEY.match(raw, start)
        digest = headers["x-amz-content-sha256"]
        if key is None or b" " in raw[4:start] or max(map(raw.count, _MARKS)) > 1:
            return
        rest = raw[:start] + raw[key.end() :]
        layout = _layout(rest, b"%d" % len(request.body)) if writes else _READ
        if layout is None:
            return
        if writes:
            if rest[layout[6]] != digest.encode():
                return
            found = _name(rest, layout), rest[layout[5]], rest[layout[7]]
        else:
            found = _read_name(rest)
        told = self._objects.kept(headers) if writes else {}
        cut = headers["authorization"][-64:], headers.get("amz-sdk-invocation-id", "")
        if found[1:] != tuple(map(str.encode, cut)):
            return
        if told is None or not _CUT.isdisjoint(signer.signed):
            return
        form = _form(request, signer, raw[4:start].decode(), digest)
        if form.count(b"%b") != (3 if writes else 1):
            return
        folder = place[1][: len(place[1]) - len(key.group())]
        who = signer.access_key_id, headers.get("x-amz-security-token"), place[0]
        if len(self._heads) >= HEADS_MAX:
            self._heads.clear()
        self._heads[found[0]] = KnownHead(
            form,
            moment[1],
            signer.outer,
            moment[0],
            who,
            signer.secret,
            folder,
            verdict,
            told,
            layout,
        )


def _form(request: HttpRequest, signer: Signer, before: str, digest: str) -> bytes:
    """The canonical request with places for what will differ; ``before``: its path up to the
    key."""
    body = _HASH_MARK if request.method == "PUT" else digest
    values = [
        body if name == "x-amz-content-sha256" else request.headers[name] for name in signer.signed
    ]
    told = request.method, before + _KEY_MARK, request.query, *values, body
    text = (signer.form % told).encode("latin-1").replace(b"%", b"%%")
    return text.replace(_KEY_MARK.encode(), b"%b").replace(_HASH_MARK.encode(), b"%b")


def _layout(head: bytes, sized: bytes) -> Layout | None:
    """Where the values lie in a write's head that differ from request to request."""
    at, told = head.find(_SIGNATURE) + 10, head.find(_HASH) + 5
    retry, length = head.find(_RETRY) + 15, head.find(_LENGTH) + 7
    if at < 10 or told < 5 or length < 7:
        return None
    cuts = slice(at, at + 64), slice(told, told + 64), slice(length, length + len(sized))
    retry_id = slice(retry, retry + 36) if retry >= 15 else slice(0, 0)
    kept, end = [], 0
    for cut in sorted((*cuts, retry_id), key=lambda cut: cut.start):
        if cut.start < end:
            return None
        kept.append(slice(end, cut.start))
        end = cut.stop
    return (*kept, slice(end, None), cuts[0], cuts[1], retry_id, cuts[2])


def _name(head: bytes, layout: Layout) -> bytes:
    return b"".join([head[kept] for kept in layout[:5]])


def _read_name(head: bytes) -> tuple[bytes, bytes, bytes]:
    """A read's head, whose end is part of its name, its signature and its retry id (b"": none)."""
    at = head.find(_SIGNATURE) + 10
    signature, name = head[at : at + 64], head[:at] + head[at + 64 :] + _END
    at = name.find(_RETRY) + 15
    if at < 15:
        return name, signature, b""
    return name[:at] + name[at + 36 :], signature, name[at : at + 36]
