"""Clients that are too slow, or gone: how long a connection may wait for what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pileus.wire.framing import TIMEOUT

if TYPE_CHECKING:
    from pileus.wire.connection import Connection


def check(c: Connection, now: float) -> None:
    """Apply the time limits to a connection; called by the server's sweep."""
    limits = c._limits
    if c._close_mark >= 0:
        if now - c._close_mark > limits.write_stall_s:
            c.transport.abort()
    elif c._lingering >= 0:
        if now - c._lingering > limits.linger_s:
            c.abort()
    elif c._write_paused or (c._sending and c._dup is not None):
        size = c.transport.get_write_buffer_size()
        if size != c._write_size:
            c._write_size, c._write_mark = size, now
        elif now - c._write_mark > limits.write_stall_s:
            c.abort()
    elif c._deaf or c._holds:
        return
    elif c._reader.in_message and not c._reader.in_body:
        if now - c._begin_mark > limits.head_s:
            c._refuse(408, "RequestTimeout", TIMEOUT.message)
    elif c._reader.in_body:
        _check_body(c, now)
    elif c._current is None and now - c._read_mark > limits.keep_alive_s:
        c._close()


def _check_body(c: Connection, now: float) -> None:
    limits = c._limits
    idle, took = now - c._read_mark, now - c._begin_mark
    slow = took > limits.body_idle_s and c._reader.body_bytes < took * limits.body_rate_bytes_s
    if idle > limits.body_idle_s or (slow and idle > 1):
        c._refuse(TIMEOUT.status, TIMEOUT.code, TIMEOUT.message)
