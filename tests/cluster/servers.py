"""Real log servers on loopback, ended for sure."""

from __future__ import annotations

import contextlib
import ctypes
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pileus.engine.cluster.nats import NatsNode, command
from tests.cluster.authority import Authority
from tests.ports import free_ports

SECRET = "only-for-tests-1234567890"


def nodes(home: Path, count: int) -> list[NatsNode]:
    """``count`` nodes of one cluster; one alone has no routes."""
    authority = Authority(home)
    ports = free_ports(3 * count)
    routes = tuple(f"127.0.0.1:{port}" for port in ports[:count])
    return [
        NatsNode(
            name=f"n{i + 1}",
            host="127.0.0.1",
            client_port=ports[count + i],
            route_port=ports[i],
            monitor_port=ports[2 * count + i],
            routes=routes if count > 1 else (),
            store_dir=home / f"n{i + 1}",
            user="pileus",
            password=SECRET,
            tls=authority.certify(f"n{i + 1}"),
        )
        for i in range(count)
    ]


def _end_with_us() -> None:
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Server:
    """One server process."""

    def __init__(self, node: NatsNode) -> None:
        self.node = node
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        words = command(self.node, alone=not self.node.routes)
        with open(self.node.store_dir.parent / f"{self.node.name}.log", "ab") as out:
            # The thread that starts it is the tests' own: the server ends with it, whatever ends
            # it.
            self.process = subprocess.Popen(words, stdout=out, stderr=out, preexec_fn=_end_with_us)

    def signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """As a power cut would, but for the machine's caches."""
        if self.process is not None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def running(home: Path, count: int) -> Iterator[list[Server]]:
    """Servers that are up while the block lasts."""
    servers = [Server(node) for node in nodes(home, count)]
    try:
        for server in servers:
            server.start()
        yield servers
    finally:
        for server in servers:
            server.kill()
