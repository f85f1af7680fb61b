"""Requests answered from their bytes: a known head, a known form of body, one function for both.

A client repeats itself: within a second its heads differ in signature, length and retry id alone
(``known_heads``), and its bodies in the values of keys. For a head and a form of body that went the
usual way, what that way found is bound into one function: where the head's cuts lie, the proof of
its signature, the permission, the service's own look at the body. It is kept by its connection
under the length of the head. Each request is still held to all that can differ: the head byte by
byte but for the cuts, the body's length, the signature over the body, the age, the caller's
standing and permissions (nothing of any identity has changed), the service's rows. Whatever is not
as it was goes the usual way, which answers or refuses; nothing is refused here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from hashlib import sha256
from hmac import compare_digest
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any, NamedTuple

from pileus.services.call import Authorizer, Call, HttpRequest, Swift
from pileus.services.service import Service
from pileus.wire.answers import Answers
from pileus.wire.canonical import Proof
from pileus.wire.known_heads import BYTES_MAX, END, UUID, KnownHead, cuts
from pileus.wire.outbox import Tally
from pileus.wire.plan import Plan
from pileus.wire.retries import write_id
from pileus.wire.router import Route
from pileus.wire.sigv4 import SKEW_MS
from pileus.wire.swift_flight import SwiftFlight

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.http import Server

LOG = logging.getLogger("pileus.wire")
HELD_NS = 1_000_000_000  # then its age and its key's are looked at again
OFTEN = 4  # a head that came so often will come again
TRIES_MAX = 16  # to find forms under one head, before it is looked at again
LENGTHS_MAX = 16
ANSWERS_MAX = 4  # of one connection, under heads of one length
SIZES_WRITTEN = 2048  # lengths whose digits are kept
# Answers one request of a connection; False: it goes the usual way.
Answer = Callable[["Connection", bytes], bool]
Checked = Callable[[bytes, int], "bytes | None"]


class Form(NamedTuple):
    """A service's form, the text of its answers to be filled, and who counts them."""

    swift: Swift
    text: bytes
    tally: Tally
    plan: Plan
    route: Route


class Known:
    """What is known of requests under one head: it holds until ``until_ns``, and as long as no
    identity changes (``seen``). ``answers``: by the length of the head."""

    __slots__ = ("answers", "forms", "head", "reads", "seen", "tries", "until_ns")

    def __init__(self, head: KnownHead, seen: int, until_ns: int) -> None:
        self.head, self.seen, self.until_ns = head, seen, until_ns
        self.answers: dict[int, Answer] = {}
        self.forms: list[Form] = []
        self.reads: list[tuple[Callable[[bytes], bytes | None], bytes, Tally]] = []
        self.tries = 0


class Swifts:
    """One per process."""

    def __init__(
        self,
        authorizer: Authorizer,
        now_ms: Callable[[], int],
        region: str,
        answers: Answers,
        calls: Iterator[int],
        request_id: Callable[[], str],
        stands: Callable[[KnownHead], bool],
    ) -> None:
        """``stands``: whether a head's key is still what proved it."""
        self._authorizer = authorizer
        self._stands = stands
        self._now_ms = now_ms
        self._region = region
        self.answers, self.calls, self.request_id = answers, calls, request_id
        self._table_prefix = answers.table_prefix.encode()
        self._sizes = [b"%d" % size for size in range(SIZES_WRITTEN)]

    def learn(self, connection: Connection, data: bytes, request: HttpRequest) -> None:
        """After ``request``, read from ``data`` by its known head, went the usual way: let the
        connection's next ones of its form go the swift one."""
        head, told = request.head
        head.met[0] += 1
        if head.met[0] < OFTEN or head.plan.service.swift is None:
            return
        known: Known | None = head.swift[0]
        now_ns, seen = request.begun_ns, self._authorizer.changes()
        if known is None or known.until_ns < now_ns or known.seen != seen:
            known = head.swift[0] = Known(head, seen, now_ns + self._left_ns(head))
        if not any(form.swift.match(request.body) is not None for form in known.forms):
            known.tries += 1
            if known.tries < TRIES_MAX:
                self._find(connection.server, head, request, known)
        at = len(data) - len(request.body) - len(END)
        if known.forms and at not in known.answers:
            if len(known.answers) >= LENGTHS_MAX:
                known.answers.clear()
            found = cuts(data[:at], len(request.body), told)
            text = data[: at + len(END)]
            checked = self._checked(text, found, head.proof, known)
            bound = self._reads if head.plan.reads else self._writes
            known.answers[at] = bound(known, checked, head, found[2])
        answer = known.answers.get(at)
        if answer is not None:
            expect(connection, at, answer)

    def _left_ns(self, head: KnownHead) -> int:
        """How long the head is neither too old nor its key expired, at most ``HELD_NS``."""
        now_ms = self._now_ms()
        left_ms = head.proof.at_ms + SKEW_MS - now_ms
        if head.held.expires_ms is not None:
            left_ms = min(left_ms, head.held.expires_ms - now_ms - 1)
        return min(HELD_NS, left_ms * 1_000_000)

    def _renewed(self, known: Known, now_ns: int) -> bool:
        """Look again at what time alone changes: whether requests under this head may go on. Its
        forms are found anew: those of a table that changed never match again."""
        left_ns = self._left_ns(known.head) if self._stands(known.head) else -1
        known.until_ns, known.tries = now_ns + left_ns, 0
        known.forms.clear()
        known.reads.clear()
        return left_ns >= 0

    def _find(self, server: Server, head: KnownHead, request: HttpRequest, known: Known) -> None:
        try:
            form = self._form(server, head, request)
        except Exception:  # the request has its answer: that stands
            LOG.exception("a form of %s could not be looked at", head.plan.operation)
            return
        if form is not None:
            known.forms.append(form)
            if form.swift.read is not None:
                known.reads.append((form.swift.read, form.text, form.tally))

    def _form(self, server: Server, head: KnownHead, request: HttpRequest) -> Form | None:
        """How requests of this one's form are answered, if its caller may do all of them."""
        service, principal = head.plan.service, head.held.principal
        if service.swift is None:
            return None
        region = head.region or self._region
        call = Call(service.name, head.plan.operation, principal, region, {}, request=request)
        if not self._may(call, service):
            return None
        swift = service.swift(call)
        if swift is None:
            return None
        lines = (
            *(b"HTTP/1.1 200 OK\r\n", swift.ready.replace(b"%", b"%%")),
            *(b"x-amzn-RequestId: ", self._table_prefix, b"%012X\r\n%b%b"),
        )
        text, tally = b"".join(lines), server.tally(swift.meter)
        return Form(swift, text, tally, head.plan, head.route)

    def _may(self, call: Call, service: Service) -> bool:
        """Whether all the call's permissions are told at a look, and its caller is known to have
        them."""
        single = None if service.single is None else service.single(call)
        asked: Iterable[tuple[str, str]] | None = None if single is None else [single]
        if asked is None and service.several is not None:
            asked = service.several(call)
        remembers, principal = self._authorizer.remembers, call.principal
        return asked is not None and all(remembers(principal, *one) for one in asked)

    def _checked(
        self, head: bytes, found: tuple[slice, slice, slice], proof: Proof, known: Known
    ) -> Checked:
        """The body of a request that came at some time, or None: it is not what it must be. What
        is used here is bound by name: this runs for every request."""
        first, *others = _between(head, found)
        (cut, second), (cut_3, third), *last_pieces = others
        cut_4, fourth = last_pieces[0] if last_pieces else (slice(0), b"")
        signed, sized, repeated = found
        begin, size_max, sizes = len(head), BYTES_MAX, self._sizes
        written = SIZES_WRITTEN
        told = repeated.start < repeated.stop
        request, inner, outer = (state.copy for state in proof.states())
        seen, changes, renewed = known.seen, self._authorizer.changes, self._renewed

        def checked(data: bytes, now_ns: int) -> bytes | None:
            body = data[begin:]
            size = len(body)
            if not (
                data.startswith(first)
                and data[cut] == second
                and data[cut_3] == third
                and (not fourth or data[cut_4] == fourth)
                and data[sized] == (sizes[size] if size < written else b"%d" % size)
                and size <= size_max
                and not (told and data[repeated].translate(None, UUID))
                and changes() == seen
                and (now_ns <= known.until_ns or renewed(known, now_ns))
            ):
                return None
            hashed = request()
            hashed.update(sha256(body).hexdigest().encode())
            mac = inner()
            mac.update(hashed.hexdigest().encode())
            last = outer()
            last.update(mac.digest())
            right = compare_digest(last.hexdigest().encode(), data[signed])
            return body if right else None

        return checked

    def _reads(self, known: Known, checked: Checked, head: KnownHead, repeated: slice) -> Answer:
        calls, forms = self.calls, known.reads

        def answer(connection: Connection, data: bytes) -> bool:
            now_ns = perf_counter_ns()
            body = checked(data, now_ns)
            if body is None:
                return False
            try:
                for read, text, tally in forms:  # noqa: B007
                    told = read(body)
                    if told is not None:
                        break
                else:
                    return False
            except Exception:
                return False  # the usual way meets it too, answers and logs it
            server = connection.server
            raw = text % (next(calls), server.date, told)
            outbox = server.outbox
            if outbox.waiting:
                outbox.put(connection.transport, raw)
            else:
                connection.transport.write(raw)
            if not tally.begun:
                outbox.count(tally)
            tally.begun.append(now_ns)
            tally.bytes += len(raw)
            return True

        return answer

    def _writes(self, known: Known, checked: Checked, head: KnownHead, repeated: slice) -> Answer:
        forms, arn, operation = known.forms, head.held.principal.arn, head.plan.operation

        def answer(connection: Connection, data: bytes) -> bool:
            now_ns = perf_counter_ns()
            body = checked(data, now_ns)
            if body is None:
                return False
            told = data[repeated]
            id_ = write_id(told.decode(), arn, operation, "", body) if told else b""
            for form in forms:
                flight = SwiftFlight(self, connection, data, now_ns, form)
                try:
                    sent = form.swift.write(body, id_, flight)  # type: ignore[misc]
                except Exception:
                    return False  # nothing was submitted; the usual way meets it too
                if sent:
                    connection._current = flight
                    return True
            return False

        return answer


def expect(connection: Connection, at: int, answer: Answer) -> None:
    """Let ``connection`` ask ``answer`` first about requests whose head ends at ``at``."""
    before = connection.swifts.get(at, ())
    if answer in before:
        return  # the request was nothing for it
    if len(connection.swifts) >= LENGTHS_MAX:
        connection.swifts.clear()
    connection.swifts[at] = (answer, *before)[:ANSWERS_MAX]
    connection.swift_from = min(connection.swifts)


def _between(head: bytes, found: tuple[slice, slice, slice]) -> list[Any]:
    """What lies between three cuts: the first piece, then the others, each with its place."""
    edges = sorted((cut.start, cut.stop) for cut in found)
    pieces: list[Any] = [head[: edges[0][0]]]
    for (_, begin), (end, _) in zip(edges, [*edges[1:], (len(head), 0)], strict=True):
        if begin < end:
            pieces.append((slice(begin, end), head[begin:end]))
    return pieces
