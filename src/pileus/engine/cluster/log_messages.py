"""What lies in the stream, and how far a replica has come in it.

A message: ``crc32 (4 bytes, little-endian) msgpack([session, number, entries])``. ``session`` is an
author's process, ``number`` counts its messages from 1. A message without entries is a barrier.
Every replica takes the messages of a session once, whatever the stream holds: a copy that was
stored twice, minutes apart, is passed over by all of them alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from zlib import crc32

import msgspec

WINDOW = 256  # numbers a session's messages may lie apart and still be told apart
_MASK = (1 << WINDOW) - 1
SESSIONS_MAX = 48
SESSION_BYTES = 8

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[bytes, int, list[bytes]]).decode


class DamagedMessage(Exception):
    """A message of the stream is not what was sent: its checksum does not hold."""


class _Packed(msgspec.Struct, array_like=True):
    stream: str
    at: int
    sessions: dict[bytes, tuple[int, bytes, int]]
    needs: dict[int, int] = {}


_decode_position = msgspec.msgpack.Decoder(_Packed).decode


class Message(NamedTuple):
    session: bytes
    number: int
    entries: list[bytes]


def pack(session: bytes, number: int, entries: Sequence[bytes]) -> bytes:
    body = _encode((session, number, entries))
    return crc32(body).to_bytes(4, "little") + body


def unpack(data: bytes) -> Message:
    """The message again; ``DamagedMessage`` when its checksum does not hold."""
    body = data[4:]
    if crc32(body).to_bytes(4, "little") != data[:4]:
        raise DamagedMessage("the checksum of a message does not hold")
    try:
        return Message(*_decode(body))
    except msgspec.DecodeError as e:
        raise DamagedMessage(f"a message cannot be read: {e}") from e


class Position:
    """How far a replica has come: the stream, the stream's number of the last message taken, and
    for each session which of its messages were. Kept with the rows they led to. ``needs``: up to
    which entry of other shards' logs these rows take things for done, by shard."""

    def __init__(self, stream: str, at: int = 0) -> None:
        self.stream = stream
        self.at = at
        self.needs: dict[int, int] = {}
        self._sessions: dict[bytes, tuple[int, int, int]] = {}

    @classmethod
    def unpack(cls, data: bytes) -> Position:
        packed = _decode_position(data)
        made = cls(packed.stream, packed.at)
        made.needs = packed.needs
        for session, (highest, seen, used) in packed.sessions.items():
            made._sessions[session] = highest, int.from_bytes(seen, "big"), used
        return made

    def pack(self) -> bytes:
        sessions: dict[bytes, Any] = {
            session: (highest, seen.to_bytes(WINDOW // 8, "big"), used)
            for session, (highest, seen, used) in self._sessions.items()
        }
        if not self.needs:
            return _encode((self.stream, self.at, sessions))
        return _encode((self.stream, self.at, sessions, self.needs))

    def copy(self) -> Position:
        made = Position(self.stream, self.at)
        made.needs = dict(self.needs)
        made._sessions = dict(self._sessions)
        return made

    def take(self, at: int, message: Message) -> bool:
        """Go on to the stream's number ``at``; False: its message was taken before (or is so old
        that nobody can tell) and must be passed over."""
        self.at = at
        if not message.entries:
            return True  # a barrier may be taken twice
        highest, seen, _ = self._sessions.get(message.session, (0, 0, 0))
        ahead = message.number - highest
        if ahead > 0:
            self._sessions[message.session] = message.number, (seen << ahead | 1) & _MASK, at
            if len(self._sessions) > SESSIONS_MAX:
                del self._sessions[min(self._sessions, key=lambda s: self._sessions[s][2])]
            return True
        if -ahead >= WINDOW or seen >> -ahead & 1:
            return False
        self._sessions[message.session] = highest, seen | 1 << -ahead, at
        return True
