"""What it costs to send a request on to another node (decisions/0011).

``python -m bench.hop`` starts two processes on loopback, a node that is asked and one that holds
the rows, and prints the CPU of each per request and the latency. The rows are not read: both ways
would read them once. A request of 1 KB with an answer of 1 KB is

- *here*: answered by the node that was asked;
- *on*: sent on over the door between nodes (``nodes/client``: TLS 1.3, kept connections, one
  exchange at a time on each), as questions between nodes are;
- *in one piece*: with all others of the loop's turn over one such connection, as a front hands
  entries to its writer (``engine/embedded/frames``): the least that it could cost.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import tempfile
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import uvloop

from bench.load import measure, signed
from pileus.engine.embedded.frames import ENTRIES, OUTCOMES, Peer
from pileus.nodes import client as nodes_client
from pileus.nodes.client import Client, Place
from pileus.nodes.tls import client_context, name_of, server_context
from pileus.services.call import HttpRequest, HttpResponse
from pileus.wire.http import serve
from tests.nodes.certificates import Authority
from tests.ports import free_ports

KEY, SECRET, KILOBYTE = "AKIAIOSFODNN7EXAMPLE", "s" * 40, 1000
WAYS = ("here", "on", "in one piece")
ANSWER = b'{"Item":{"k":{"S":"%b"}}}' % (b"x" * KILOBYTE)
HEADERS = [("content-type", "application/x-amz-json-1.0")]
_encode, _decode = msgspec.msgpack.encode, msgspec.msgpack.decode


class Holding(Peer):
    """The end of the node that holds the rows."""

    def received(self, kind: int, rows: list[Any]) -> None:
        for number, _ in rows:
            self.send(OUTCOMES, [number, 200, ANSWER])


class Asking(Peer):
    """The end of the node that is asked."""

    def __init__(self) -> None:
        super().__init__()
        self._numbers = count()
        self._waiting: dict[int, asyncio.Future[list[Any]]] = {}

    def received(self, kind: int, rows: list[Any]) -> None:
        for number, *told in rows:
            self._waiting.pop(number).set_result(told)

    async def ask(self, question: Any) -> list[Any]:
        number = next(self._numbers)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        self.send(ENTRIES, [number, question])
        return await self._waiting[number]


async def hold(folder: Path, port: int, piece_port: int) -> None:
    """The node that holds the rows."""

    async def answer(request: HttpRequest) -> HttpResponse:
        _decode(await request.read())
        return HttpResponse(200, [], _encode([200, ANSWER]))

    tls = server_context(folder)
    await serve(answer, ("127.0.0.1", port), tls=tls, client=name_of)
    loop = asyncio.get_running_loop()
    await loop.create_server(Holding, "127.0.0.1", piece_port, ssl=tls)


async def front(folder: Path, port: int, held: int, piece_port: int) -> None:
    """The node that is asked: the path says which way it goes."""
    tls = client_context(folder)
    client, place = Client(tls), Place("n2", "127.0.0.1", held)
    loop = asyncio.get_running_loop()
    _, peer = await loop.create_connection(Asking, "127.0.0.1", piece_port, ssl=tls)

    async def answer(request: HttpRequest) -> HttpResponse:
        if request.path == "/0":
            return HttpResponse(200, HEADERS, ANSWER)
        question = [request.headers, await request.read()]
        if request.path == "/2":
            status, body = await peer.ask(question)
        else:
            told = await client.send(place, "POST", "/ask/rows", _encode(question), once=True)
            status, body = _decode(await told.read())
        return HttpResponse(status, HEADERS, body)

    await serve(answer, ("127.0.0.1", port))


def process(start: Callable[[], Awaitable[None]]) -> int:
    """A process of its own; it has started when this returns."""
    read, write = os.pipe()
    pid = os.fork()
    if pid:
        os.close(write)
        assert os.read(read, 1) == b"1", "it did not start"
        return pid

    async def run() -> None:
        await start()
        os.write(write, b"1")
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await stop.wait()

    uvloop.run(run())
    os._exit(0)


def request(port: int, way: int) -> list[bytes]:
    body = b'{"TableName":"t","Item":{"k":{"S":"%b"}}}' % (b"x" * KILOBYTE)
    headers = {
        "X-Amz-Target": "DynamoDB_20120810.PutItem",
        "Content-Type": "application/x-amz-json-1.0",
    }
    told = {"path": f"/{way}", "headers": headers, "body": body}
    return [signed(f"127.0.0.1:{port}", "dynamodb", KEY, SECRET, **told)]  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    nodes_client.KEPT_MAX = 64  # eight would be enough for nobody who sends all on
    held, piece, port = free_ports(3)
    with tempfile.TemporaryDirectory() as folder:
        authority = Authority()
        places = [authority.lay(Path(folder) / name, name) for name in ("n1", "n2")]
        holding = process(lambda: hold(places[1], held, piece))
        asked = process(lambda: front(places[0], port, held, piece))
        try:
            print("| way | connections | p50 ms | a second | CPU µs, asked | CPU µs, holding |")
            print("|---|---|---|---|---|---|")
            for connections in (1, 4, 64):
                for way, name in enumerate(WAYS):
                    told = _rounds(port, way, connections, options, (asked, holding))
                    print(f"| {name} | {connections} | {told} |", flush=True)
        finally:
            for pid in (asked, holding):
                os.kill(pid, signal.SIGTERM)
                os.waitpid(pid, 0)


def _rounds(port: int, way: int, connections: int, options: Any, pids: tuple[int, int]) -> str:
    """The round that took the front the least CPU: others' work only adds."""
    best: tuple[float, str] | None = None
    for _ in range(options.rounds):
        before = _cpu_s(pids[1])
        told = measure(
            port,
            request(port, way),
            connections=connections,
            seconds=options.seconds,
            pid=pids[0],
        )
        assert not told.errors
        held_us = (_cpu_s(pids[1]) - before) / told.requests * 1e6
        said = f"{told.p50_ms:.2f} | {told.per_second:,.0f} | {told.cpu_us:.0f} | {held_us:.0f}"
        best = min(best or (told.cpu_us, said), (told.cpu_us, said))
    assert best is not None
    return best[1]


def _cpu_s(pid: int) -> float:
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


if __name__ == "__main__":
    main()
