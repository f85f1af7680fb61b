"""Writes whose sender asks before it sends the body (RFC 9110, 10.1.1: Expect: 100-continue).

Botocore asks before every PUT. Where the body is small and the head is signed nothing is
spared: it is told to go on at once, and what it sent is read as though it had not asked. A large
one, and who shows no signature and so is mostly refused, is answered by whoever reads the body, so
that a refusal comes before it is sent.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pileus.wire.framing import CONTINUE
from pileus.wire.known_heads import BYTES_MAX, END

if TYPE_CHECKING:
    from pileus.wire.connection import Connection

HEAD_BYTES_MAX = 16 * 1024
_QUESTIONS = b"\r\nExpect: 100-continue\r\n", b"\r\nexpect: 100-continue\r\n"
_SIGNED = b"\r\nAuthorization: ", b"\r\nauthorization: "
_LENGTHS = b"\r\nContent-Length: ", b"\r\ncontent-length: "
_OTHERWISE = b"\r\nexpect:", b"\r\ntransfer-encoding:"
_ASKED, _SIZED = len(_QUESTIONS[0]) - 2, len(_LENGTHS[0])


def told_to_go_on(data: bytes, connection: Connection, bytes_max: int) -> bool:
    """Whether ``data``, which ends with an empty line, is a signed head that asks for a body of at
    most ``bytes_max`` bytes; ``connection`` waits for it then. It is looked at when that is
    there."""
    at = data.find(_QUESTIONS[0])
    if at < 0 and (at := data.find(_QUESTIONS[1])) < 0:
        return False
    if _SIGNED[0] not in data and _SIGNED[1] not in data:
        return False
    begin = data.rfind(_LENGTHS[0])  # botocore's is the last line
    if begin < 0 and (begin := data.rfind(_LENGTHS[1])) < 0:
        return False
    end, size = data.find(b"\r", begin + _SIZED), len(data)
    told = data[begin + _SIZED : end]
    if size > HEAD_BYTES_MAX or len(told) > 6 or not told.isdigit():
        return False
    length = int(told)
    if not 0 < length <= bytes_max or data.find(END) != size - 4:
        return False
    connection._reader.wait_for(data[:at] + data[at + _ASKED :], length)
    connection._begin_mark = connection._read_mark
    connection.server.outbox.put(connection.transport, CONTINUE)
    return True


def waits_for_body(data: bytes, connection: Connection) -> bool:
    """Whether ``data`` is the head of a small POST whose body comes in a packet of its own, as
    Python's ``http.client`` sends it; ``connection`` waits for it then, and reads both together."""
    lines, size = data.lower(), len(data)
    begin = lines.find(_LENGTHS[1]) + _SIZED
    told = lines[begin : lines.find(b"\r", begin)]
    if begin < _SIZED or size > HEAD_BYTES_MAX or len(told) > 6 or not told.isdigit():
        return False
    if not 0 < int(told) <= BYTES_MAX or data.find(END) != size - len(END):
        return False
    if lines.count(b"\r\ncontent-length:") > 1 or any(line in lines for line in _OTHERWISE):
        return False
    connection._reader.wait_for(data, int(told))
    connection._begin_mark = connection._read_mark
    return True
