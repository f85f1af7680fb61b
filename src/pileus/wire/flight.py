"""A write that is waited for: what its connection holds, and what the store tells at its end."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pileus.services.call import FileBody, HttpResponse
from pileus.wire.answers import object_ids
from pileus.wire.reader import Inbound
from pileus.wire.respond import BrokenBody, file_at_once, file_slow

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.known_objects import KnownObjects


class Flight(Inbound):
    """The current request of ``connection``; called with the entry's result, or its error.
    ``data``: the bytes it came in, ``lines``: of its answer."""

    # As of any request that came whole; fields of its own only where they come to differ.
    stream = refusal = None
    keep_alive = True
    http10 = wants_continue = False
    lines = b""

    def __init__(
        self, known: KnownObjects, connection: Connection, data: bytes, begun_ns: int, meter: int
    ) -> None:
        self.request = None
        self._known, self._connection, self._data = known, connection, data
        self._begun_ns, self._meter = begun_ns, meter

    def __call__(self, version: str | None, error: Exception | None) -> None:
        c, lines = self._connection, self.lines
        server, transport = c.server, c.transport
        if c._current is not self or transport.is_closing():
            return  # the client left
        if version is not None:
            lines = b"%bx-amz-version-id: %b\r\n" % (lines, version.encode())
        if error is not None or c._eof or server.stopping:
            self._settle(lines, error)
            return
        known, meter, outbox = self._known, self._meter, server.outbox
        call = next(known.calls)
        raw = known.written % (call, call, server.date, lines)
        tally = server.tallies.get(meter) or server.tallied(meter)
        if not tally.begun:
            outbox.count(tally)
        tally.begun.append(self._begun_ns)
        tally.bytes += len(raw)
        outbox.put(transport, raw)
        c._current = None
        c._begin_mark = c._read_mark = server.now
        if c._queue or c._reader.receiving is not None or c._pipeline_held:
            c._advance()
        if server.handing_over is not None:
            server.handing_over.wrote(c)

    def _settle(self, lines: bytes, error: Exception | None) -> None:
        """An error, or the last answer of a connection: as after any other request."""
        known, c = self._known, self._connection
        self.request = request = c.server.strict(self._data, c.remote)
        request.meter, request.begun_ns = self._meter, self._begun_ns
        c.server.requests += 1
        request_id = known.request_id()
        if error is None:
            answer = HttpResponse(200, [], b"", -1, lines + object_ids(request_id))
        else:
            answer = known.answers.failed(error, known.route, request, request_id)
        c._settled(answer)


def send_known_file(c: Connection, raw: bytes, file: FileBody) -> None:
    """Send an answer whose head is ``raw`` and whose body is ``file``; what the socket does not
    take at once, as any other answer's."""
    c.server.outbox.flush()
    try:
        left = file_at_once(c, file, raw)
    except BrokenBody:
        c.transport.abort()
        return
    if left is not None:
        c._current = inbound = Inbound(None, True, False)
        rest = c._finish_later(inbound, file_slow(c, file, left))
        c._task = c.loop.create_task(rest)
