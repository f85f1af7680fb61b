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

from pileus import control
from pileus.config import Config
from pileus.errors import Unavailable
from pileus.outages import Outage, allowed_s, question

log = logging.getLogger("pileus.supervisor")
STOP_SECONDS = 10.0
RUN_BYTES_MAX = 107 - len("/longrunning.sock")  # unix(7): 107 bytes for a socket's name
DRAIN_SECONDS = 60.0
WATCH_SECONDS = 0.5
AWAY_SECONDS = 0.05  # while one is awaited
WATCHED = {signal.SIGCHLD, signal.SIGIO, signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
ENDING = {signal.SIGTERM, signal.SIGINT, signal.SIGHUP}
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
    wanted: bool = True  # False: an operator stopped it, or its time has not come
    deadline: float = float("inf")  # being stopped: when it is killed
    since: float = 0.0  # of its state, seconds since 1970
    ended: str = ""  # how it ended last

    @property
    def state(self) -> str:
        if self.pid:
            return "running" if self.deadline == float("inf") else "stopping"
        return "waiting" if self.wanted else "stopped"


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
        stat = Path(f"/proc/{told.pid}/stat").read_text()
    except (OSError, ValueError, TypeError):
        return None
    # One that was killed a moment ago is still listed until its parent has noticed.
    return None if stat.rpartition(")")[2].split()[0] == "Z" else told


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


def claim_home(config: Config) -> int:
    """Keep every other cloud off this home: a descriptor to close, or to hold until the end.
    ``Unavailable`` when one runs there."""
    run = config.path("run")
    if len(os.fsencode(run)) > RUN_BYTES_MAX:
        raise Unavailable(
            f"the path {config.home} is too long: the names of sockets in it do not fit",
            f"choose a --home of at most {RUN_BYTES_MAX - len('/run')} bytes",
        )
    config.home.mkdir(parents=True, exist_ok=True, mode=0o700)
    run.mkdir(exist_ok=True, mode=0o700)
    held = os.open(run / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    # Children hold the lock too: after a supervisor's sudden death they need a moment to stop.
    deadline = time.monotonic() + (0 if running(config.home) else STOP_SECONDS)
    while not _lock(held):
        if time.monotonic() >= deadline:
            os.close(held)
            raise Unavailable(
                f"a cloud already runs on {config.home}",
                "`pileus status` shows it, `pileus down` stops it; or choose another --home",
            )
        time.sleep(0.02)
    return held


class Supervisor:
    """Runs ``parts`` until told to stop, on a home that was claimed."""

    def __init__(self, config: Config, parts: list[Part]) -> None:
        self.config = config
        self.parts = parts
        self._listener: control.Listener | None = None
        self._told: list[control.Told] = []
        self._outages: dict[str, Outage] = {}
        self._ending = False
        self._queue: list[str] = []  # to be restarted, one after the other

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
        self._listener = control.Listener(self.config.path("run"))
        self._take_over()
        self._turn(time.monotonic())
        while True:
            self._tell()
            away = any(o.away_since for o in self._outages.values())
            told = signal.sigtimedwait(WATCHED, AWAY_SECONDS if away else WATCH_SECONDS)
            if self._ending or (told and told.si_signo in ENDING):
                break
            self._reap()
            self._listener.serve(self.obey)
            self._roll()
            self._turn(time.monotonic())
        self._listener.remove()
        self._stop_all()

    def _take_over(self) -> None:
        """What was measured before, and that the parts have been away since, where no supervisor
        stopped them: its death must not look like an orderly end."""
        told, alive = control.left_behind(self.config.path("run"))
        names = {part.name for part in self.parts}
        for before in (t for t in told if t.name in names):
            outage = self._outages[before.name] = self._new_outage(before.name)
            outage.incidents = [(since, s, over) for since, s, over in before.incidents]
            if before.state in ("running", "waiting"):
                outage.away_since = before.away_since or alive

    def _turn(self, now: float) -> None:
        """Start what is due; kill what was asked to stop and does not."""
        for part in self.parts:
            if not part.pid and part.wanted and now >= part.due:
                self._start(part)
            elif part.pid and now >= part.deadline:
                log.warning("%s does not stop; killing it", part.name)
                _signal(part.pid, signal.SIGKILL)
                part.deadline = now + STOP_SECONDS
            elif self._hangs(part, now):
                log.warning("%s does not answer any more; killing it", part.name)
                _signal(part.pid, signal.SIGKILL)

    def _hangs(self, part: Part, now: float) -> bool:
        """One look at whether a part that should run serves."""
        watched = part.pid and part.deadline == float("inf") and not part.once
        return bool(watched) and self._outage(part).turn(now, time.time())

    def _outage(self, part: Part) -> Outage:
        """The part's record of absences."""
        known = self._outages.get(part.name)
        if known is None:
            known = self._outages[part.name] = self._new_outage(part.name)
        return known

    def _new_outage(self, name: str) -> Outage:
        return Outage(name, question(self.config.path("run"), name))

    def obey(self, verb: str, name: str) -> str:
        """Do as an operator asks; '' or why not. Stopping goes on after the answer."""
        if name == control.ALL and verb == "stop":
            log.warning("asked to stop this node")
            self._ending = True
            return ""
        if name == control.ALL and verb == "restart":
            self._queue = [p.name for p in self.parts if p.pid and not p.once]
            return ""
        part = next((p for p in self.parts if p.name == name and not p.once), None)
        if part is None or verb not in control.VERBS:
            return f"there is no part {name!r}" if part is None else f"{verb!r} is not offered"
        if verb != "start" and self._is_last_front(part):
            if verb != "restart":
                return f"{name} is the last one that answers: `pileus down` stops the whole cloud"
            if part.name != "front-0":
                return f"{name} is the last one that answers: start front-0 first"
        log.warning("asked to %s %s", verb, name)
        part.wanted = verb in ("start", "restart")
        part.due = part.restarts = 0
        if part.pid and verb != "start":
            patience = DRAIN_SECONDS if verb == "drain" else STOP_SECONDS
            part.deadline, part.since = time.monotonic() + patience, time.time()
            _signal(part.pid, signal.SIGTERM)
        return ""

    def _roll(self) -> None:
        """Restart the next part of those to be restarted, when none is away."""
        away = any(not p.once and p.wanted and p.state != "running" for p in self.parts)
        if self._queue and not away and not any(o.away_since for o in self._outages.values()):
            self.obey("restart", self._queue.pop(0))

    def _is_last_front(self, part: Part) -> bool:
        """Without a front process nobody could ask for another to be started."""
        fronts = [p for p in self.parts if p.name.startswith("front-")]
        return part in fronts and not any(p.wanted for p in fronts if p is not part)

    def _tell(self) -> None:
        """Write down how the parts are, when that changed."""
        told = [
            control.Told(
                *(p.name, p.pid, p.state, p.since, p.restarts, p.ended, allowed_s(p.name)),
                self._outage(p).away_since,
                self._outage(p).incidents,
            )
            for p in self.parts
            if not p.once
        ]
        if told == self._told:
            control.alive(self.config.path("run"))
            return
        self._told = told
        try:
            control.write(self.config.path("run"), told)
        except OSError as e:
            log.warning("how the parts are cannot be written down: %s", e)

    def _start(self, part: Part) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        own = str(os.getpid())
        pid = os.fork()
        if pid == 0:
            os.environ[control.SUPERVISOR] = own
            if self._listener is not None:
                self._listener.close()
            if not part.once:
                os.setpgid(0, 0)  # Ctrl-C is the supervisor's: it stops the parts in order
                self._write_to_log()
            _child(part)
        part.pid, part.started, part.since = pid, time.monotonic(), time.time()

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
            asked = part.deadline != float("inf")
            part.pid, part.deadline, part.since = 0, float("inf"), time.time()
            part.ended = f"signal {-code}" if code < 0 else f"status {code}"
            if asked:
                log.warning("%s stopped (%s)", part.name, part.ended)
                self._outage(part).stopped()
                part.due = 0.0
                continue
            self._outage(part).ended(time.time())
            lived = time.monotonic() - part.started
            part.restarts = part.restarts + 1 if lived < 30 else 1
            wait = 0.0 if part.restarts == 1 else min(0.1 * 2**part.restarts, RESTART_SECONDS_MAX)
            log.warning("%s ended (%s); starting it again in %.1f s", part.name, code, wait)
            part.due = time.monotonic() + wait

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
        for name in ("cloud.json", "parts.json"):
            self.config.path("run", name).unlink(missing_ok=True)


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
