"""Every way the fronts' lab loses front ends, in one list: ``LOSSES``; and who they are.

A front end's process and socket are found where its supervisor tells them; a loss is a context, as
every fault (``lab.faults``) is.
"""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab import faults
from lab.faults import Scene
from lab.rig import RigNode

SOCKET_S = 1.0
ALL = 1000


@dataclass(frozen=True)
class Front:
    """A front end of a node: its process, and the socket at which its Caddy asks it."""

    name: str
    pid: int
    socket: Path


Make = Callable[[Scene, Sequence[Front]], AbstractContextManager[None]]


@dataclass(frozen=True)
class Loss:
    """``fronts``: how many front ends of a node are lost, 0: none but with all else. ``own``: they
    are of the node that is asked. ``hold_s``: until it is ended."""

    name: str
    what: str
    make: Make
    fronts: int
    own: bool = False
    hold_s: float = 4.0
    links: bool = False


@contextmanager
def _kill(scene: Scene, fronts: Sequence[Front]) -> Iterator[None]:
    """Their supervisor starts them again."""
    for front in fronts:
        os.kill(front.pid, signal.SIGKILL)
        scene.note(f"killed {front.name}")
    yield


@contextmanager
def _freeze(scene: Scene, fronts: Sequence[Front]) -> Iterator[None]:
    """Their supervisor ends those that do not answer for ten seconds."""
    for front in fronts:
        os.kill(front.pid, signal.SIGSTOP)
        scene.note(f"stopped {front.name}")
    try:
        yield
    finally:
        for front in fronts:
            with suppress(ProcessLookupError):
                os.kill(front.pid, signal.SIGCONT)


def _node(make: Callable[[Scene], AbstractContextManager[None]]) -> Make:
    return lambda scene, fronts: make(scene)


LOSSES = (
    Loss("own-front", "kill -9 of one of the asked node's two front ends", _kill, 1, own=True),
    Loss("other-front", "kill -9 of one of another node's two front ends", _kill, 1),
    Loss("other-fronts", "kill -9 of both front ends of another node", _kill, ALL),
    Loss("other-front-frozen", "one of another node's front ends stands still (SIGSTOP)", _freeze,
         1, hold_s=20),
    Loss("node", "kill -9 of every process of another node", _node(faults.kill), 0),
    Loss("node-frozen", "every process of another node stands still for 4 s, then goes on",
         _node(faults.freeze), 0),
    Loss("node-unplugged", "another node's link is down for 4 s", _node(faults.unplug), 0,
         links=True),
)  # fmt: skip


def fronts(node: RigNode) -> list[Front]:
    """As its supervisor tells; none while it does not."""
    run = node.home / "run"
    try:
        told = json.loads((run / "parts.json").read_text())
    except (OSError, ValueError):
        return []
    names = [(p["name"], p["pid"]) for p in told if p["name"].startswith("front-") and p["pid"]]
    return [Front(n, pid, run / f"edge-{n.removeprefix('front-')}.sock") for n, pid in names]


def answers(front: Front) -> bool:
    """Whether it answers its Caddy's question."""
    return _ask(front.socket, "/_pileus/health").startswith(b"HTTP/1.1 200")


def upstreams(node: RigNode) -> list[dict[str, Any]]:
    """How busy a node's Caddy has whom. https://caddyserver.com/docs/api#get-reverse-proxyupstreams"""
    told = _ask(node.home / "run" / "caddy-admin.sock", "/reverse_proxy/upstreams")
    body = told.partition(b"\r\n\r\n")[2]
    return list(json.loads(body)) if body else []


def _ask(path: Path, what: str) -> bytes:
    """An answer at a Unix socket, "" where there is none."""
    request = f"GET {what} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with socket.socket(socket.AF_UNIX) as line, suppress(OSError):
        line.settimeout(SOCKET_S)
        line.connect(str(path))
        line.sendall(request.encode())
        return line.makefile("rb").read()
    return b""
