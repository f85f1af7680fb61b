"""Ports for what a test starts, or starts again at the same place."""

from __future__ import annotations

import random
import socket

# Below what systems hand out for port 0 and for outgoing connections: a port of a server that is
# down for a moment is not taken meanwhile by another test's.
FIRST, LAST = 15_000, 32_000


def free_ports(count: int) -> list[int]:
    """Different ports of loopback that nobody listens on now."""
    found: set[int] = set()
    chance = random.SystemRandom()  # whatever a test beside this one seeds
    while len(found) < count:
        port = chance.randrange(FIRST, LAST)
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
