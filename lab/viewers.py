"""People in front of one node's edge: some ask every 20 ms, some take very long over one answer.

Each 20 ms one GET and one POST, over a connection of its own, waited for until it is answered or
broken off. Those who take long keep the node's own front ends busy, so that its Caddy hands what
else comes to other nodes.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Coroutine, Iterator
from typing import Any

from lab.probe import EVERY_S, Seen

ANSWER_S = 60.0  # what was not answered by then never is
BETWEEN_S = 0.02  # one who takes long after the other: each must be counted before the next
SIP_BYTES, SIP_EVERY_S = 65536, 3.0
ID_CHARS = 12  # answers of one process begin their ids alike, where they were kept ready
_ID = re.compile(rb"\r\nx-amz-cf-id: *([^\r]+)", re.IGNORECASE)
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Viewers:
    """``with Viewers(host, port, page, long) as viewers``: paths of a small page and of something
    long. ``asking`` collects what the quick ones saw: of a kind (the method), ``told`` the status,
    0 where there was no whole answer, ``target`` how the answer's id begins."""

    def __init__(self, host: str, port: int, page: str, long: str) -> None:
        self._at = (host, port)
        about = f"HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        self._asks = {
            "GET": f"GET {page} {about}\r\n".encode(),
            "POST": f"POST {page} {about}Content-Length: 4\r\n\r\nsent".encode(),
        }
        self._long = f"GET {long} {about}\r\n".encode()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._slow: list[asyncio.Task[None]] = []

    def __enter__(self) -> Viewers:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.slow(0)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def slow(self, count: int) -> None:
        """From now on so many take long over an answer; who is broken off begins anew."""
        self._do(self._have_slow(count))

    @contextlib.contextmanager
    def asking(self) -> Iterator[list[Seen]]:
        """Within, somebody asks every 20 ms; leaving asks nothing more. Use ``answered`` next."""
        seen: list[Seen] = []
        self._open: set[asyncio.Task[None]] = set()
        asked = asyncio.run_coroutine_threadsafe(self._ask_on(seen), self._loop)
        try:
            yield seen
        finally:
            asked.cancel()

    def answered(self) -> None:
        """Wait until everything that was asked is answered, or never will be."""
        self._do(self._all_open())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(2 * ANSWER_S)

    async def _have_slow(self, count: int) -> None:
        while len(self._slow) > count:
            task = self._slow.pop()
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        while len(self._slow) < count:
            self._slow.append(asyncio.create_task(self._go_slowly()))
            await asyncio.sleep(BETWEEN_S)

    async def _go_slowly(self) -> None:
        while True:
            with contextlib.suppress(OSError):
                await self._take_long()
            await asyncio.sleep(BETWEEN_S)

    async def _take_long(self) -> None:
        loop = asyncio.get_running_loop()
        with socket.socket() as line:
            line.setblocking(False)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SIP_BYTES)
            await loop.sock_connect(line, self._at)
            await loop.sock_sendall(line, self._long)
            more = b"?"
            while more:
                await asyncio.sleep(SIP_EVERY_S)
                more = await loop.sock_recv(line, SIP_BYTES)

    async def _ask_on(self, seen: list[Seen]) -> None:
        due = time.monotonic()
        while True:
            for method in self._asks:
                task = asyncio.create_task(self._ask(method, seen))
                self._open.add(task)
                task.add_done_callback(self._open.discard)
            due += EVERY_S
            await asyncio.sleep(max(0.0, due - time.monotonic()))

    async def _all_open(self) -> None:
        await asyncio.gather(*self._open)

    async def _ask(self, method: str, seen: list[Seen]) -> None:
        began, status, who = time.monotonic(), 0, ""
        with contextlib.suppress(OSError, TimeoutError, EOFError, ValueError):
            async with asyncio.timeout(ANSWER_S):
                status, who = await self._exchange(self._asks[method])
        seen.append(Seen(method, began, time.monotonic(), who, status))

    async def _exchange(self, request: bytes) -> tuple[int, str]:
        reader, writer = await asyncio.open_connection(*self._at)
        try:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            status, length = int(head[9:12]), _LENGTH.search(head)
            if length:
                await reader.readexactly(int(length[1]))
            found = _ID.search(head)
            return status, found[1][:ID_CHARS].decode() if found else ""
        finally:
            writer.close()
