"""Connections that mostly write go to the process that writes.

An entry that one front process hands to another wakes both, and each then serves smaller turns: a
write costs a fifth more CPU (DESIGN.md). So where two processes serve, the one that does not write
hands such a connection's socket over, between two requests (SCM_RIGHTS, unix(7)); the client
notices nothing. Where more serve, connections stay: the writer's core would bound all writes.
"""

from __future__ import annotations

import array
import asyncio
import contextlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pileus.engine.embedded.frames import socket_address
from pileus.wire.connection import Connection

if TYPE_CHECKING:
    from pileus.wire.http import Server

LOOK_EVERY = 16  # writes of a connection
ARRIVED_MAX = 3 * LOOK_EVERY  # a client may send a request in two pieces, and reads now and then
CONNECTIONS_MAX = 1_000  # of this server, and then about as many of the other
TURNS_MAX = 4  # of the loop, until an answer is with the kernel
FDS_MAX = 8


class HandingOver:
    """The side that gives; ``path``: where the other one takes."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._socket: socket.socket | None = None

    def wrote(self, connection: Connection) -> None:
        """A write of ``connection`` was answered, or is about to be."""
        connection.wrote += 1
        if connection.wrote < LOOK_EVERY:
            return
        mostly = connection.arrived <= ARRIVED_MAX
        connection.wrote = connection.arrived = 0
        if mostly and len(connection.server.connections) <= CONNECTIONS_MAX:
            connection.loop.call_soon(self._give, connection, TURNS_MAX)

    def _give(self, connection: Connection, turns: int) -> None:
        if _between_requests(connection):
            if self._given(connection.transport.get_extra_info("socket").fileno()):
                connection._deaf = True
                connection.transport.abort()
        elif turns:
            connection.loop.call_soon(self._give, connection, turns - 1)

    def _given(self, descriptor: int) -> bool:
        """Whether the other side has it. From then on it is the kernel's to keep, and what the
        client sends the other side's to read."""
        try:
            if self._socket is None:
                self._socket = _connected(self._path)
            rights = array.array("i", [descriptor])
            sent = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)]
            self._socket.sendmsg([b"c"], sent)
        except BlockingIOError:
            return False  # it has many to take: this one stays until it is looked at again
        except OSError:
            self.close()  # it is not there, or was started again
            return False
        return True

    def close(self) -> None:
        """Give no more."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None


class Taking:
    """The side that takes, for ``server``, until ``close``. ``taken``: how many so far."""

    def __init__(self, path: Path, server: Server) -> None:
        self._path, self._server = path, server
        self._accepting: set[asyncio.Task[None]] = set()
        self.taken = 0
        path.unlink(missing_ok=True)
        self._socket = _datagrams()
        _at(path, self._socket.bind)
        os.chmod(path, 0o600)
        server.loop.add_reader(self._socket.fileno(), self._take)

    def _take(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while True:
                _, descriptors, _, _ = socket.recv_fds(
                    self._socket, 16, FDS_MAX, socket.MSG_CMSG_CLOEXEC
                )
                for descriptor in descriptors:
                    self._accept(socket.socket(fileno=descriptor))

    def _accept(self, client: socket.socket) -> None:
        client.setblocking(False)
        self.taken += 1
        task = self._server.loop.create_task(self._serve(client))
        self._accepting.add(task)
        task.add_done_callback(self._accepting.discard)

    async def _serve(self, client: socket.socket) -> None:
        server = self._server
        try:
            await server.loop.connect_accepted_socket(lambda: Connection(server), client)
        except OSError:
            client.close()  # it left meanwhile

    def close(self) -> None:
        """Take what was given, and no more: the server stops all its connections in order."""
        self._take()
        self._server.loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._path.unlink(missing_ok=True)


def _between_requests(c: Connection) -> bool:
    """Whether nothing is under way: no part of a request, no answer, no end."""
    busy = c._current is not None or c._queue or c._reader.in_message or c._holds
    ending = c._deaf or c._eof or c._inlet is not None or c.server.stopping
    return not (busy or ending or c.transport.is_closing() or c.transport.get_write_buffer_size())


def _datagrams() -> socket.socket:
    made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    made.setblocking(False)
    return made


def _connected(path: Path) -> socket.socket:
    made = _datagrams()
    try:
        _at(path, made.connect)
    except OSError:
        made.close()
        raise
    return made


def _at(path: Path, act: Callable[[str], None]) -> None:
    address, descriptor = socket_address(path)
    try:
        act(address)
    finally:
        if descriptor >= 0:
            os.close(descriptor)
