"""What a second process costs where nothing is shared: a server of fixed bytes, no cloud behind it.

    PYTHONPATH=src:. .venv/bin/python -m bench.bare

One and two processes on one port, CPU of an answer: the part of ``--fronts 1`` against ``--fronts
2`` that is the machine's (two servers and the load share its cores) and not the platform's.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import socket
import statistics
import time
from typing import cast

import uvloop

from bench.load import cpu_seconds, measure

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 300\r\n\r\n" + b"x" * 300
REQUEST = b"POST / HTTP/1.1\r\nhost: localhost\r\n\r\n"
ROUNDS, SECONDS, STEPS = 5, 3.0, 150


class _Fixed(asyncio.Protocol):
    """Answers after a few microseconds of Python, as a front does that kept its answer."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._write = cast(asyncio.WriteTransport, transport).write

    def data_received(self, data: bytes) -> None:
        count = data.count(b"\r\n\r\n")
        total = 0
        for step in range(count * STEPS):
            total += step
        self._write(ANSWER * count)


def _serve(port: int) -> None:
    async def run() -> None:
        listening = socket.socket()
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind(("127.0.0.1", port))
        server = await asyncio.get_running_loop().create_server(_Fixed, sock=listening, backlog=512)
        await server.serve_forever()

    uvloop.run(run())


def _once(processes: int, connections: int) -> float:
    """CPU of an answer, microseconds."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    servers = [
        multiprocessing.Process(target=_serve, args=(port,), daemon=True) for _ in range(processes)
    ]
    for server in servers:
        server.start()
    time.sleep(0.7)  # all of them listen: connections are spread when they are made
    try:
        before = sum(cpu_seconds(server.pid or 0) for server in servers)
        told = measure(port, [REQUEST], connections=connections, seconds=SECONDS)
        used = sum(cpu_seconds(server.pid or 0) for server in servers) - before
        return 1e6 * used / told.requests
    finally:
        for server in servers:
            server.terminate()
            server.join()


def main() -> None:
    for connections in (32, 64):
        pairs = [(_once(1, connections), _once(2, connections)) for _ in range(ROUNDS)]
        one, two = (statistics.median(side) for side in zip(*pairs, strict=True))
        print(f"{connections} connections: {one:.1f} µs, {two:.1f} µs: {two / one - 1:+.0%}")


if __name__ == "__main__":
    main()
