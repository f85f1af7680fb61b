"""How front processes get sockets of a copy's network: over a Unix socket, as descriptors.

The bytes of requests then flow between front and copy without the runtime. SOCK_SEQPACKET, one
JSON object a message: ``{"id", "copy", "count"}`` is answered ``{"id", "port"}`` and descriptors,
or ``{"id", "error"}``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
from pathlib import Path
from typing import Any

from pileus.errors import Unavailable
from pileus.runtime.longrunning_services import Services

MESSAGE_BYTES_MAX = 4096
COUNT_MAX = 16


class LinkServer:
    """The runtime's end. ``services`` is set once copies can run."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._listener: socket.socket | None = None
        self._open: set[socket.socket] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.services: Services | None = None

    def start(self) -> None:
        """Listen, with mode 0600. A socket left behind by a killed predecessor is replaced."""
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.setblocking(False)
        previous = os.umask(0o177)
        try:
            self._listener.bind(str(self._path))
        finally:
            os.umask(previous)
        self._listener.listen(64)
        asyncio.get_running_loop().add_reader(self._listener.fileno(), self._accept)

    def _accept(self) -> None:
        assert self._listener is not None
        with contextlib.suppress(BlockingIOError):
            sock, _ = self._listener.accept()
            sock.setblocking(False)
            self._open.add(sock)
            asyncio.get_running_loop().add_reader(sock.fileno(), self._read, sock)

    def _read(self, sock: socket.socket) -> None:
        try:
            data = sock.recv(MESSAGE_BYTES_MAX)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._forget(sock)
            return
        task = asyncio.get_running_loop().create_task(self._answer(sock, json.loads(data)))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, sock: socket.socket, asked: dict[str, Any]) -> None:
        made: list[socket.socket] = []
        try:
            if self.services is None:
                raise Unavailable("services cannot run here")
            count = max(1, min(COUNT_MAX, asked["count"]))
            port, made = await self.services.sockets(asked["copy"], count)
            told = {"id": asked["id"], "port": port}
        except (Unavailable, OSError, TimeoutError) as e:
            told = {"id": asked["id"], "error": str(e) or type(e).__name__}
        try:
            if sock in self._open:
                socket.send_fds(sock, [json.dumps(told).encode()], [s.fileno() for s in made])
        except OSError:
            self._forget(sock)
        finally:
            for each in made:
                each.close()

    def _forget(self, sock: socket.socket) -> None:
        if sock in self._open:
            self._open.discard(sock)
            asyncio.get_running_loop().remove_reader(sock.fileno())
            sock.close()

    def stop(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener.fileno())
            self._listener.close()
            self._path.unlink(missing_ok=True)
        for sock in list(self._open):
            self._forget(sock)


class Link:
    """A front process's end. Connects when first asked, and again after a loss."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._sock: socket.socket | None = None
        self._waiting: dict[int, asyncio.Future[tuple[int, list[socket.socket]]]] = {}
        self._number = 0

    async def sockets(self, copy: str, count: int) -> tuple[int, list[socket.socket]]:
        """The copy's port, and sockets of its network, not connected. Raises ``Unavailable``."""
        sock = self._sock or self._connect()
        self._number += 1
        number = self._number
        future: asyncio.Future[tuple[int, list[socket.socket]]]
        future = self._waiting[number] = asyncio.get_running_loop().create_future()
        try:
            sock.send(json.dumps({"id": number, "copy": copy, "count": count}).encode())
            return await future
        except OSError as e:
            self._lost()
            raise Unavailable(f"the runtime does not answer: {e}") from e
        finally:
            self._waiting.pop(number, None)

    def _connect(self) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            sock.connect(str(self._path))  # a local listener with room answers at once
        except OSError as e:
            sock.close()
            raise Unavailable(f"the runtime does not answer: {e.strerror}") from e
        sock.setblocking(False)
        self._sock = sock
        asyncio.get_running_loop().add_reader(sock.fileno(), self._read)
        return sock

    def _read(self) -> None:
        assert self._sock is not None
        try:
            data, fds, _, _ = socket.recv_fds(self._sock, MESSAGE_BYTES_MAX, COUNT_MAX)
        except BlockingIOError:
            return
        except OSError:
            data, fds = b"", []
        if not data:
            self._lost()
            return
        made = [socket.socket(fileno=fd) for fd in fds]
        told = json.loads(data)
        future = self._waiting.get(told["id"])
        if future is None or future.done():
            for each in made:
                each.close()
        elif "error" in told:
            future.set_exception(Unavailable(told["error"]))
        else:
            future.set_result((told["port"], made))

    def _lost(self) -> None:
        if self._sock is not None:
            asyncio.get_running_loop().remove_reader(self._sock.fileno())
            self._sock.close()
            self._sock = None
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(Unavailable("the runtime stopped"))

    def close(self) -> None:
        self._lost()
