"""Three nodes on loopback behind one address, whose connections go to the nodes in turn.

Tests and outside suites that know one cloud meet all nodes of a cluster so, unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import threading
from collections.abc import Sequence
from pathlib import Path

from tests.conftest import Cloud, pileus

HOST = "127.0.0.1"
PORTS = ("port", "edge-port", "edge-tls-port", "node-port", "log-port", "log-route-port")
JOIN_S_MAX = 120.0
PIECE_BYTES = 256 * 1024


class Relay:
    """``port`` of loopback: each connection goes to the next of ``ports``, one that does not
    answer is passed over."""

    def __init__(self, ports: Sequence[int]) -> None:
        self._ports = list(ports)
        self._turn = itertools.count()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(60)

    async def _listen(self) -> int:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = next(self._turn)
        for at in range(first, first + len(self._ports)):
            try:
                there, to = await asyncio.open_connection(HOST, self._ports[at % len(self._ports)])
            except OSError:
                continue
            await asyncio.gather(_pour(reader, to), _pour(there, writer))
            return
        writer.close()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while piece := await reader.read(PIECE_BYTES):
            writer.write(piece)
            await writer.drain()
    writer.close()


class SpreadCloud(Cloud):
    """``home`` is the first node's; the others' are beside it. It has the shards a cluster begins
    with."""

    homes: tuple[Path, ...] = ()
    _relay: Relay | None = None

    def up(self) -> Cloud:
        ports = [word for name in PORTS for word in (f"--{name}", "0")]
        here = ["--host", HOST, *ports]
        token = _told("init", "--home", str(self.home), *here).split()[-1]
        _told("up", "--home", str(self.home), "--apps", "none", "--detach")
        self.homes = (self.home,)
        first = self.told["endpoint"].removeprefix("http://")
        for number in (2, 3):
            home = self.home.with_name(f"{self.home.name}-{number}")
            self.homes = (*self.homes, home)
            _told("join", f"{token}@{first}", "--home", str(home), *here)
        self.env = json.loads(_told("env", "--home", str(self.home), "--format", "json"))
        told = [json.loads((home / "run" / "cloud.json").read_text()) for home in self.homes]
        self._relay = Relay([_port(t["endpoint"]) for t in told])
        self.env["AWS_ENDPOINT_URL"] = f"http://{HOST}:{self._relay.port}"
        return self

    def log(self) -> str:
        files = [home / "run" / "pileus.log" for home in self.homes]
        return "\n".join(f"{f}\n{f.read_text()}" for f in files if f.exists())

    def down(self) -> None:
        for home in reversed(self.homes):
            pileus("down", "--home", str(home))
        if self._relay is not None:
            self._relay.close()

    @property
    def edge(self) -> str:
        """The last node's: each has a cache of its own, and a viewer stays with one of them, as
        with CloudFront's."""
        return str(json.loads((self.homes[-1] / "run" / "cloud.json").read_text())["edge"])


def _port(url: str) -> int:
    return int(url.rpartition(":")[2])


def _told(*words: str) -> str:
    done = pileus(*words, timeout=JOIN_S_MAX)
    if done.returncode:
        raise RuntimeError(f"{words[0]}: {done.stdout}{done.stderr}")
    return done.stdout
