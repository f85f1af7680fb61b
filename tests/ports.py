"""Ports for what a test starts, or starts again at the same place."""

from __future__ import annotations

import os
import random
import socket
import zlib
from pathlib import Path

# Below what systems hand out for port 0 and for outgoing connections: a port of a server that is
# down for a moment is not taken meanwhile by somebody's connection.
FIRST, LAST = 15_000, 32_000
STRETCHES = 8


def stretch(worker: str) -> range:
    """The ports of one worker of this checkout: none of them is taken by the tests that another
    runs, also while the server it belongs to is down for a moment."""
    checkout = zlib.crc32(bytes(Path(__file__)))  # another's tests may run on this machine, too
    number = (checkout + int(worker.removeprefix("gw"))) % STRETCHES
    size = (LAST - FIRST) // STRETCHES
    return range(FIRST + number * size, FIRST + (number + 1) * size)


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody listens on now."""
    found: set[int] = set()
    chance = random.SystemRandom()  # whatever a test beside this one seeds
    ours = stretch(os.environ.get("PYTEST_XDIST_WORKER", "gw0"))
    while len(found) < count:
        port = chance.choice(ours)
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.add(port)
    return list(found)


def free_port() -> int:
    return free_ports(1)[0]
