"""Writes whose sender asks before it sends the body (RFC 9110, 10.1.1: Expect: 100-continue).

Botocore asks before every PUT. Where the body is small there is nothing to be spared: it is told to
go on at once, and what it sent is read as though it had not asked. A large one is answered by
whoever reads it, so that a refusal comes before it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pileus.wire.framing import CONTINUE

if TYPE_CHECKING:
    from pileus.wire.connection import Connection

HEAD_BYTES_MAX = 16 * 1024
_QUESTIONS = b"\r\nExpect: 100-continue\r\n", b"\r\nexpect: 100-continue\r\n"
_LENGTHS = b"\r\nContent-Length: ", b"\r\ncontent-length: "


def told_to_go_on(data: bytes, connection: Connection, bytes_max: int) -> bool:
    """Whether ``data``, which ends with a head, asks for a body of at most ``bytes_max`` bytes;
    ``connection`` waits for it then. The head is looked at when the body is there."""
    at, length = _place(data, _QUESTIONS), _place(data, _LENGTHS)
    if at < 0 or length < 0 or len(data) > HEAD_BYTES_MAX:
        return False
    told = data[length + 18 : data.index(b"\r", length + 18)]
    if not told.isdigit() or len(told) > 6 or not 0 < int(told) <= bytes_max:
        return False
    connection._reader.wait_for(data[:at] + data[at + 22 :], int(told))
    connection._begin_mark = connection._read_mark
    connection.server.outbox.put(connection.transport, CONTINUE)
    return True


def _place(data: bytes, lines: tuple[bytes, bytes]) -> int:
    at = data.find(lines[0])
    return data.find(lines[1]) if at < 0 else at
