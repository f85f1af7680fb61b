"""Starts the cloud's processes, watches them, restarts what dies, stops them in order.

The supervisor imports everything once and forks its front processes, so that they share memory and
start in
milliseconds. It has no event loop and no threads: it waits for children and signals, nothing else.
"""

from __future__ import annotations

import fcntl
import gc
import json
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pileus.config import Config
from pileus.errors import Unavailable

log = logging.getLogger("pileus.supervisor")
STOP_SECONDS = 10.0
WATCH_SECONDS = 0.5
WATCHED = {signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
RESTART_SECONDS_MAX = 5.0
HEALTH_BYTES_MAX = 65536


@dataclass
class Part:
    """One process: how to start it, and how its restarts went."""

    name: str
    main: Callable[[], None]
    pid: int = 0
    once: bool = False  # ends by itself and is not started again
    restarts: int = 0
    started: float = 0.0
    due: float = 0.0


@dataclass(frozen=True)
class Running:
    """What ``home/run/cloud.json`` tells other commands about a cloud that is up."""

    pid: int
    endpoint: str
    edge: str
    region: str
    account: str
    dev: bool


def free_port(bind: str) -> int:
    with socket.socket() as s:
        s.bind((bind, 0))
        return int(s.getsockname()[1])


def check_port(bind: str, port: int, flag: str) -> None:
    """``Unavailable`` with a hint when something else listens on ``port``."""
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind((bind, port))
        except OSError as e:
            raise Unavailable(
                f"port {port} on {bind} cannot be used: {e.strerror}",
                f"stop what listens there, or choose another with {flag}",
            ) from e


def running(home: Path) -> Running | None:
    """The cloud that is up on ``home``, or None."""
    file = home / "run" / "cloud.json"
    try:
        told = Running(**json.loads(file.read_text()))
        os.kill(told.pid, 0)
    except (OSError, ValueError, TypeError):
        return None
    return told


def healthy(endpoint: str, timeout_s: float = 1.0) -> dict[str, Any] | None:
    """What ``/_pileus/health`` answers, or None when it does not answer 200. By hand: an HTTP
    client's import is a twentieth of a start."""
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    ask = f"GET /_pileus/health HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    try:
        with socket.create_connection((host, int(port)), timeout_s) as s:
            s.sendall(ask.encode())
            with s.makefile("rb") as told:
                head, _, body = told.read(HEALTH_BYTES_MAX).partition(b"\r\n\r\n")
        return dict(json.loads(body)) if head.startswith(b"HTTP/1.1 200 ") else None
    except (OSError, ValueError):
        return None


class Supervisor:
    """Runs ``parts`` until told to stop. ``lock`` keeps a second cloud off the same home."""

    def __init__(self, config: Config, parts: list[Part]) -> None:
        self.config = config
        self.parts = parts
        self._lock_fd = -1

    def claim_home(self) -> None:
        run = self.config.path("run")
        self.config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
        run.mkdir(exist_ok=True, mode=0o700)
        self._lock_fd = os.open(run / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        # Children hold the lock too: after a supervisor's sudden death they need a moment to stop.
        deadline = time.monotonic() + (0 if running(self.config.home) else STOP_SECONDS)
        while not _lock(self._lock_fd):
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"a cloud already runs on {self.config.home}",
                    "`pileus status` shows it, `pileus down` stops it; or choose another --home",
                )
            time.sleep(0.02)

    def announce(self) -> Running:
        c = self.config
        host = "127.0.0.1" if c.bind == "0.0.0.0" else c.bind
        told = Running(
            os.getpid(),
            f"http://{host}:{c.port}",
            f"http://{'localhost' if host == '127.0.0.1' else host}:{c.edge_port}",
            c.region,
            c.account,
            c.dev,
        )
        file = c.path("run", "cloud.json")
        file.with_suffix(".tmp").write_text(json.dumps(asdict(told)))
        file.with_suffix(".tmp").rename(file)
        return told

    def run(self) -> None:
        """Start every part, then watch until SIGTERM or SIGINT; returns when all have stopped."""
        signal.pthread_sigmask(signal.SIG_BLOCK, WATCHED)
        gc.collect()
        gc.freeze()
        self.announce()
        for part in self.parts:
            self._start(part)
        while True:
            told = signal.sigtimedwait(WATCHED, WATCH_SECONDS)
            if told and told.si_signo != signal.SIGCHLD:
                break
            self._reap()
            now = time.monotonic()
            for part in self.parts:
                if not part.pid and now >= part.due:
                    self._start(part)
        self._stop_all()

    def _start(self, part: Part) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        pid = os.fork()
        if pid == 0:
            if not part.once:
                os.setpgid(0, 0)  # Ctrl-C is the supervisor's: it stops the parts in order
                self._write_to_log()
            _child(part)
        part.pid, part.started = pid, time.monotonic()

    def _write_to_log(self) -> None:
        """A part's output goes to ``run/pileus.log``; the terminal is the user's."""
        flags = os.O_CREAT | os.O_APPEND | os.O_WRONLY
        log = os.open(self.config.path("run", "pileus.log"), flags, 0o600)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)

    def _reap(self) -> None:
        for part in self.parts:
            if not part.pid:
                continue
            done, status = os.waitpid(part.pid, os.WNOHANG)
            if not done:
                continue
            code = os.waitstatus_to_exitcode(status)
            if part.once:
                part.pid, part.due = 0, float("inf")
                continue
            lived = time.monotonic() - part.started
            part.restarts = part.restarts + 1 if lived < 30 else 1
            wait = 0.0 if part.restarts == 1 else min(0.1 * 2**part.restarts, RESTART_SECONDS_MAX)
            log.warning("%s ended (%s); starting it again in %.1f s", part.name, code, wait)
            part.pid, part.due = 0, time.monotonic() + wait

    def _stop_all(self) -> None:
        """Last started stops first; what does not stop in time is killed."""
        for part in reversed(self.parts):
            if not part.pid:
                continue
            _signal(part.pid, signal.SIGTERM)
            deadline = time.monotonic() + STOP_SECONDS
            while os.waitpid(part.pid, os.WNOHANG) == (0, 0):
                if time.monotonic() > deadline:
                    log.warning("%s does not stop; killing it", part.name)
                    _signal(part.pid, signal.SIGKILL)
                    deadline = float("inf")
                time.sleep(0.01)
            part.pid = 0
        self.config.path("run", "cloud.json").unlink(missing_ok=True)


def _lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        log.debug("process %s is already gone", pid)


def _child(part: Part) -> None:
    """Run a part in a fresh child and never return. It dies with its supervisor."""
    import ctypes

    status = 70
    try:
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
        signal.pthread_sigmask(signal.SIG_UNBLOCK, WATCHED)
        part.main()
        status = 0
    except SystemExit as e:
        status = e.code if isinstance(e.code, int) else 1
    except BaseException:
        logging.getLogger("pileus").exception("%s crashed", part.name)
    finally:
        logging.shutdown()
        os._exit(status)
