"""Frames between the writer and the other front processes, over ``home/run/writer.sock``.

A frame is 4 bytes of length (big-endian) and ``msgpack([kind, rows])``:
1 entries ``[id, entry]`` · 2 watches ``[slot, seen]`` (front to writer) ·
3 outcomes ``[id, sequence, verdict]`` · 4 failures ``[id, message, hint]`` · 5 wakes ``slot`` ·
6 barriers ``id`` (front to writer; answered by an outcome without a verdict).
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any, cast

import msgspec

ENTRIES, WATCHES, OUTCOMES, FAILURES, WAKES, BARRIERS = range(1, 7)
FRAME_BYTES_MAX = 256 * 1024 * 1024
SOCKET_PATH_MAX = 100  # of 108 in sockaddr_un

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(tuple[int, list[Any]]).decode


def frame(kind: int, rows: list[Any]) -> bytes:
    body = _encode((kind, rows))
    return len(body).to_bytes(4, "big") + body


class Peer(asyncio.Protocol):
    """One end of the socket: splits what arrives into frames, joins a loop turn's sends."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._input = bytearray()
        self._output: dict[int, list[Any]] = {}

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._input += data
        at, end = 0, len(self._input)
        while end - at >= 4:
            size = int.from_bytes(self._input[at : at + 4], "big")
            if size > FRAME_BYTES_MAX:
                self.transport.abort()
                return
            if end - at - 4 < size:
                break
            kind, rows = _decode(self._input[at + 4 : at + 4 + size])
            at += 4 + size
            self.received(kind, rows)
        del self._input[:at]

    def received(self, kind: int, rows: list[Any]) -> None:
        raise NotImplementedError

    def send(self, kind: int, row: Any) -> None:
        """Send with everything else of this turn of the loop, in one write."""
        rows = self._output.get(kind)
        if rows is not None:
            rows.append(row)
            return
        if not self._output:
            asyncio.get_running_loop().call_soon(self._flush)
        self._output[kind] = [row]

    def _flush(self) -> None:
        output, self._output = self._output, {}
        if not self.transport.is_closing():
            self.transport.write(b"".join(frame(kind, rows) for kind, rows in output.items()))


def socket_address(path: Path) -> tuple[str, int]:
    """A name for ``path`` short enough for a Unix socket, and a descriptor to close after use
    (-1: none)."""
    if len(os.fsencode(path)) <= SOCKET_PATH_MAX:
        return str(path), -1
    fd = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/self/fd/{fd}/{path.name}", fd
