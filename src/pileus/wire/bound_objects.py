"""Requests for small objects under one known head: all that follows from it in one function.

A connection keeps it under the head's length (``Connection.swifts``). What can differ is checked as
``known_objects`` does: the head byte by byte but for the cuts, the key, the signature over it all,
who signed, a write's body under its hash, length and checksum. False: read it.
"""

from __future__ import annotations

import re
from hashlib import sha256
from operator import itemgetter
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from pileus.services.plain_objects import ReadPlain, StorePlain
from pileus.wire.flight import Flight
from pileus.wire.known_heads import UUID
from pileus.wire.retries import object_of, write_id
from pileus.wire.swift import Answer

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.known_objects import KnownHead, KnownObjects

GET, PUT = 1, 2
# The key of a path that is its own canonical form, its first part aside.
PLAIN_KEY = re.compile(rb"[A-Za-z0-9_~-][A-Za-z0-9_.~-]*(?:/[A-Za-z0-9_~-][A-Za-z0-9_.~-]*){0,62}")
_NOBODY: Any = object()  # no verdict


def reads(objects: KnownObjects, known: KnownHead) -> Answer:
    """GET or HEAD. What is used for each request is bound by name."""
    looks = known.raw[:5] == b"HEAD "
    method = "HEAD" if looks else "GET"
    begin = known.raw.find(b"/", len(method) + 2) + 1
    first, kept, pieces, (signed, _, _, retry, _) = _cuts(known, begin, None)
    text = b"HTTP/1.1 200 OK\r\n%b%%b%%b" % objects.id_lines
    form, filled, folder = known.form, known.filled, known.folder.encode()
    calls, believed, reading = objects.calls, objects._believed, objects._objects.reading
    checked, digits, held, meter = known.checked, UUID, _NOBODY, 0
    read: ReadPlain = _nothing

    def answer(connection: Connection, data: bytes) -> bool:
        nonlocal held, read, meter
        begun_ns = perf_counter_ns()
        end = data.find(b" ", begin)
        rest = data[end:]
        if kept(rest) != pieces or not data.startswith(first):
            return False
        if rest[retry].translate(None, digits):
            return False
        key = data[begin:end]
        told = key if filled is None else (key, *filled(first + rest))
        verdict = believed(known, form % told, rest[signed])
        if verdict is not held:
            if verdict is None or not verdict.may & GET:
                return False
            held, meter = verdict, verdict.meters[method]
            read = reading(verdict.bucket, checked, looks, PLAIN_KEY.fullmatch)
        found = read(folder + key if folder else key)
        if found is None:
            return False
        server, call = connection.server, next(calls)
        raw = text % (call, call, server.date, found)
        tally = server.tallies.get(meter) or server.tallied(meter)
        server.send(connection.transport, raw, tally, begun_ns)
        return True

    return answer


def writes(objects: KnownObjects, known: KnownHead) -> Answer:
    """PUT of a body that came with its head."""
    begin = known.raw.find(b"/", 5) + 1
    body_at = len(known.raw) - begin
    first, kept, pieces, cuts = _cuts(known, begin, body_at)
    values, plain = itemgetter(*cuts), PLAIN_KEY.fullmatch
    form, filled, folder, told = known.form, known.filled, known.folder, known.told
    believed, storing, most = objects._believed, objects._objects.storing, objects.bytes_max
    digits, held, meter, arn, bucket = UUID, _NOBODY, 0, "", known.who[2]
    store: StorePlain | None = None
    assert filled is not None, "a body's hash is signed"

    def answer(connection: Connection, data: bytes) -> bool:
        nonlocal held, store, meter, arn
        begun_ns = perf_counter_ns()
        end = data.find(b" ", begin)
        rest = data[end:]
        if kept(rest) != pieces or not data.startswith(first):
            return False
        signature, digest, length, retry, check = values(rest)
        key, body = data[begin:end], rest[body_at:]
        size = len(body)
        if (
            size > most
            or length != b"%d" % size
            or digest != sha256(body).hexdigest().encode()
            or retry.translate(None, digits)
            or plain(key) is None
        ):
            return False
        verdict = believed(known, form % (key, *filled(first + rest)), signature)
        if verdict is not held:
            if verdict is None or not verdict.may & PUT:
                return False
            held, meter = verdict, verdict.meters["PUT"]
            arn = verdict.principal.arn
            store = storing(verdict.bucket, told)
        if store is None:
            return False
        flight = Flight(objects, connection, data, begun_ns, meter)
        name, repeated = folder + key.decode(), b""
        if retry:
            of = object_of(bucket, name, digest.decode())
            repeated = write_id(retry.decode(), arn, "PutObject", of)
        lines = store(name, body, check, repeated, flight)
        if lines is None:
            return False
        flight.lines = lines
        connection._current = flight
        return True

    return answer


def _cuts(known: KnownHead, begin: int, end: int | None) -> tuple[bytes, Any, Any, list[slice]]:
    """A head's beginning; of what follows the key: what cuts out the pieces that are always the
    same, as far as ``end``, those pieces, and where the values lie that are not."""

    def moved(cut: slice) -> slice:
        return slice(cut.start - begin, cut.stop - begin) if cut.stop else cut

    place, rest = known.layout, known.raw[begin:]
    spans = [moved(slice(start, stop)) for _, start, stop in place.spans]
    starts = [0, *(span.stop for span in spans)]
    stops = [*(span.start for span in spans), end]
    kept = itemgetter(*(slice(*told) for told in zip(starts, stops, strict=True)))
    values = [moved(cut) for cut in place.values.values()]
    return known.raw[:begin], kept, kept(rest), values


def _nothing(key: bytes) -> None:
    """No object."""
