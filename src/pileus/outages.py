"""How long each part of the cloud may be away, how long it was, and whether one hangs (C8, C2).

A probe is a question over a socket that is not waited for: it is sent in one turn of the supervisor
and looked at in later ones. A part that ended is away until its successor answers; one that does
not answer for ``HUNG_S`` while the supervisor itself ran is hung, and its remedy is a restart.
"""

from __future__ import annotations

import functools
import json
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PROBE_EVERY_S = 5.0
HUNG_S = 10.0  # of turns in which it did not answer
TURN_S_MAX = 1.0  # a turn that took longer was the supervisor's own trouble
LATE_S = 2.0  # a probe without an answer for so long is asked anew while a part is away
ANSWER_BYTES_MAX, HEARD_BYTES_MAX = 65536, 4 * 1024 * 1024
INCIDENTS_KEPT = 20
SERVICES_FILE = "services-downtime.json"
# Name, or what it starts with up to a hyphen → the longest it may be away.
ALLOWED_S = {
    **{"front-0": 5.0, "front": 3.0, "runtime": 10.0, "caddy": 3.0, "meters": 30.0},
    "log": 15.0,  # a server reads its streams' files first, as many as there are shards
}
ALLOWED_ELSE_S = 15.0
HEALTH = b"GET /_pileus/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
CADDY = b"GET /reverse_proxy/upstreams HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
# https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#health: no stream is waited for.
LOG_PAGE = "/healthz?js-enabled-only=true"
LOG = f"GET {LOG_PAGE} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode()
_MONITOR = re.compile(r'^http: "127\.0\.0\.1:(\d+)"', re.MULTILINE)
CONNECT_S = 0.05  # to this machine's own kernel
STATS = b"\x08\x00\x00\x00\x04" + bytes(8)  # a frame of the runtime's client: see runtime.client


def allowed_s(name: str) -> float:
    """The longest downtime a part is allowed."""
    return ALLOWED_S.get(name, ALLOWED_S.get(name.partition("-")[0], ALLOWED_ELSE_S))


def read_services(home: Path) -> dict[str, Any]:
    """Of each long-running service: ``allowed_s``, ``longest_s``, ``down_since_ms`` (0: it is up)
    and ``incidents`` with ``Since`` (milliseconds since 1970), ``Seconds`` and ``Over`` (longer
    than allowed)."""
    try:
        return dict(json.loads((home / "run" / SERVICES_FILE).read_text())["services"])
    except (OSError, ValueError, KeyError):
        return {}


Where = str | tuple[str, int]  # a Unix socket's path, or an address and a port


@dataclass(slots=True)
class Question:
    """Where to ask a part (None: nobody knows yet), what, and how to know a good answer."""

    where: Callable[[], Where | None]
    ask: bytes
    good: Callable[[bytes], bool | None]  # None: more must come before one can tell
    sock: socket.socket | None = None
    heard: bytes = b""

    def send(self) -> None:
        self.drop()
        where = self.where()
        if where is None:
            return
        local = isinstance(where, str)
        self.sock = socket.socket(socket.AF_UNIX if local else socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(0.0 if local else CONNECT_S)
        try:
            self.sock.connect(where)
            self.sock.setblocking(False)
            self.sock.send(self.ask)
        except OSError:
            self.drop()

    def answered(self) -> bool:
        """Has a good answer come?"""
        if self.sock is None:
            return False
        try:
            data = self.sock.recv(ANSWER_BYTES_MAX)
        except BlockingIOError:
            return False
        except OSError:
            data = b""
        self.heard += data
        verdict = self.good(self.heard)
        if verdict is not None or not data or len(self.heard) > HEARD_BYTES_MAX:
            self.drop()
        return verdict is True

    def drop(self) -> None:
        if self.sock is not None:
            self.sock.close()
        self.sock, self.heard = None, b""


def question(run: Path, name: str) -> Question | None:
    """How to ask the part ``name`` whether it serves; None for one that cannot be asked."""
    kind, _, number = name.partition("-")
    if kind == "front":
        return Question(lambda: str(run / f"edge-{number}.sock"), HEALTH, _says_200)
    if kind == "caddy":
        return Question(lambda: str(run / "caddy-admin.sock"), CADDY, _says_200)
    if kind == "runtime":
        return Question(lambda: str(run / "runtime.sock"), STATS, _runtime_decided)
    if kind == "log":
        return Question(functools.partial(log_monitor, run.parent), LOG, _says_200)
    return None


def log_monitor(home: Path) -> tuple[str, int] | None:
    """Where the node's server of the log tells how it is: each start of it chooses a port, which
    its configuration names. None where there is no server."""
    try:
        found = _MONITOR.search((home / "nats" / "server.conf").read_text())
    except OSError:
        return None
    return ("127.0.0.1", int(found[1])) if found else None


def _says_200(told: bytes) -> bool | None:
    return told.startswith(b"HTTP/1.1 200") if len(told) >= 12 else None


def _runtime_decided(told: bytes) -> bool | None:
    """The whole of its statistics, which say how functions are isolated: no longer "starting"."""
    whole = len(told) >= 5 and len(told) >= 5 + int.from_bytes(told[:4], "little")
    return b"\xa4kind\xa8starting" not in told if whole else None


@dataclass
class Outage:
    """One part's incidents. ``incidents``: (since, seconds since 1970; how long; over the limit),
    newest first."""

    name: str
    question: Question | None
    away_since: float = 0.0  # seconds since 1970; 0: it serves
    incidents: list[tuple[float, float, bool]] = field(default_factory=list)
    _asked: float = 0.0
    _turned: float = 0.0
    _silent_s: float = 0.0
    _silent_since: float = 0.0

    def ended(self, now: float) -> None:
        """Its process is gone, and nobody asked for that."""
        if not self.away_since:
            self.away_since = self._silent_since or now
        self._forget()

    def stopped(self) -> None:
        """An operator stopped it: that is no incident."""
        self.away_since = 0.0
        self._forget()

    def _forget(self) -> None:
        self._silent_s = self._silent_since = self._asked = 0.0
        if self.question is not None:
            self.question.drop()

    def turn(self, clock: float, now: float) -> bool:
        """One look at a part whose process lives; True when it hangs. ``clock`` is monotonic."""
        passed = min(clock - self._turned, TURN_S_MAX)
        self._turned = clock
        if self.question is None:
            self._serves(now)
            return False
        if self.question.answered():
            self._serves(now)
            self._silent_s = self._silent_since = 0.0
            return False
        if self.question.sock is None:
            if clock - self._asked >= (0.0 if self.away_since else PROBE_EVERY_S):
                self._ask(clock)
            return False
        if self.away_since:  # one that is starting has its supervisor's patience
            if clock - self._asked >= LATE_S:
                self._ask(clock)
            return False
        self._silent_since = self._silent_since or now
        self._silent_s += passed
        return self._silent_s >= HUNG_S

    def _ask(self, clock: float) -> None:
        assert self.question is not None
        self._asked = clock
        self.question.send()

    def _serves(self, now: float) -> None:
        if self.away_since:
            seconds = round(max(0.0, now - self.away_since), 3)
            told = (self.away_since, seconds, seconds > allowed_s(self.name))
            self.incidents = [told, *self.incidents[: INCIDENTS_KEPT - 1]]
            self.away_since = 0.0
