"""A write that was submitted from its bytes: what its connection holds until its entry ends."""

from __future__ import annotations

from binascii import crc32
from typing import TYPE_CHECKING, Any

from pileus.services.call import HttpResponse
from pileus.wire.reader import Inbound

if TYPE_CHECKING:
    from pileus.wire.connection import Connection
    from pileus.wire.swift import Form, Swifts

BODY = b"{}"
FILLED = b"x-amz-crc32: %d\r\ncontent-length: 2\r\n\r\n{}" % crc32(BODY)


class SwiftFlight(Inbound):
    """The current request of ``connection``; called with the rule's result, or its error.
    ``data``: the bytes it came in."""

    # As of any request that came whole; fields of its own only where they come to differ.
    stream = refusal = None
    keep_alive = True
    http10 = wants_continue = False

    def __init__(
        self, swifts: Swifts, connection: Connection, data: bytes, begun_ns: int, form: Form
    ) -> None:
        self.request = None
        self._swifts, self._connection, self._data = swifts, connection, data
        self._begun_ns, self._form = begun_ns, form

    def __call__(self, result: Any, error: Exception | None) -> None:
        c, form = self._connection, self._form
        server, transport = c.server, c.transport
        if c._current is not self or transport.is_closing():
            return  # the client left
        if error is not None or c._eof or server.stopping:
            self._settle(error)
            return
        raw = form.text % (next(self._swifts.calls), server.date, FILLED)
        tally, outbox = form.tally, server.outbox
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

    def _settle(self, error: Exception | None) -> None:
        """An error, or the last answer of a connection: as after any other request."""
        c, form, swifts = self._connection, self._form, self._swifts
        self.request = request = c.server.strict(self._data, c.remote)
        request.meter, request.begun_ns = form.swift.meter, self._begun_ns
        c.server.requests += 1
        if error is None:
            answer = HttpResponse(200, [], BODY, -1, form.swift.ready)
            c._settled(swifts.answers.finish(form.plan, answer, swifts.request_id()))
            return
        told = form.swift.refused(error) if form.swift.refused is not None else error
        c._settled(swifts.answers.failed(told, form.route, request, swifts.request_id()))
