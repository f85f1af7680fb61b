"""How the supervisor is asked to stop, start or restart a part, and where it tells how they are.

``HOME/run/parts.json``: what it told last. ``HOME/run/supervisor.sock``: one line of JSON
``{"do", "part"}`` in, ``{"refused"}`` out ('' when it does so). Both are the owner's alone: whoever
may use them from outside is decided by the API that stands before them.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pileus.errors import Unavailable

VERBS = ("stop", "drain", "start", "restart")
ALL = "all"  # every part: stop ends the supervisor too, restart starts them again one by one
LINE_BYTES_MAX = 4096
PATIENCE_S = 0.2  # the supervisor waits no longer for what a caller has to say
ANSWER_S = 3.0
Obey = Callable[[str, str], str]
SUPERVISOR = "PILEUS_SUPERVISOR"  # in a part's environment: the process that started it


@dataclass(frozen=True)
class Told:
    """A part as the supervisor sees it. ``state``: running, stopping, stopped (by an operator), or
    waiting (to be started again). ``since``: seconds since 1970. ``ended``: how it ended last.
    ``allowed_s``: the longest it may be away; ``away_since``: 0 while it serves; ``incidents``: see
    ``outages.Outage``."""

    name: str
    pid: int
    state: str
    since: float
    restarts: int
    ended: str
    allowed_s: float = 0.0
    away_since: float = 0.0
    incidents: Sequence[tuple[float, float, bool]] = ()


def supervised() -> bool:
    """Whether who started this part lives still. A part is ended by the same signal when its
    supervisor dies (prctl(2), PR_SET_PDEATHSIG) as when it is to stop: this tells them apart. The
    kernel gives a dead parent's children another before it sends them that signal."""
    return os.environ.get(SUPERVISOR, "") in ("", str(os.getppid()))


def read(run: Path) -> list[Told]:
    """What the supervisor told last; nothing where none runs."""
    try:
        return [Told(**part) for part in json.loads((run / "parts.json").read_text())]
    except (OSError, ValueError, TypeError):
        return []


def left_behind(run: Path) -> tuple[list[Told], float]:
    """The parts of a supervisor that ended otherwise than by stopping them (it was killed, or the
    machine lost its power), and when it was last alive, seconds since 1970; none where it did."""
    try:
        return read(run), (run / "parts.json").stat().st_mtime
    except OSError:
        return [], 0.0


def write(run: Path, parts: list[Told]) -> None:
    """Tell it, whole or not at all."""
    new = run / "parts.json.new"
    new.write_text(json.dumps([asdict(part) for part in parts]))
    new.rename(run / "parts.json")


def ask(run: Path, verb: str, part: str) -> str:
    """Ask the supervisor; '' when it does so, else why not. ``Unavailable`` when it is silent."""
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
            s.settimeout(ANSWER_S)
            s.connect(str(run / "supervisor.sock"))
            s.sendall(json.dumps({"do": verb, "part": part}).encode() + b"\n")
            return str(json.loads(s.recv(LINE_BYTES_MAX))["refused"])
    except (OSError, ValueError, KeyError) as e:
        raise Unavailable(f"the supervisor does not answer: {e}", "pileus status") from e


def alive(run: Path) -> None:
    """What was told last holds still."""
    with contextlib.suppress(OSError):
        os.utime(run / "parts.json")


class Listener:
    """The supervisor's end. It has no event loop: a caller raises SIGIO, then ``serve`` answers
    all who wait."""

    def __init__(self, run: Path) -> None:
        self._place = run / "supervisor.sock"
        self._place.unlink(missing_ok=True)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(str(self._place))
        self._place.chmod(0o600)
        self._socket.listen(16)
        self._socket.setblocking(False)
        number = self._socket.fileno()
        fcntl.fcntl(number, fcntl.F_SETOWN, os.getpid())
        flags = fcntl.fcntl(number, fcntl.F_GETFL)
        fcntl.fcntl(number, fcntl.F_SETFL, flags | os.O_ASYNC)

    def serve(self, obey: Obey) -> None:
        """Answer every caller; one that says nothing sensible is hung up on."""
        while True:
            try:
                caller, _ = self._socket.accept()
            except BlockingIOError:
                return
            with caller, contextlib.suppress(OSError, ValueError, KeyError, TypeError):
                caller.settimeout(PATIENCE_S)
                told = json.loads(caller.recv(LINE_BYTES_MAX))
                refused = obey(str(told["do"]), str(told["part"]))
                caller.sendall(json.dumps({"refused": refused}).encode())

    def close(self) -> None:
        """A child's copy: it must not answer."""
        self._socket.close()

    def remove(self) -> None:
        self._socket.close()
        self._place.unlink(missing_ok=True)
