"""A supervisor that is killed is no orderly stop: its parts know, and so does the next one (C8)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pileus import control
from tests.conftest import SOURCE

PROGRAM = """
import signal, sys
from pathlib import Path
from pileus import control
from pileus.config import Config
from pileus.supervisor import Part, Supervisor, claim_home

home = Path(sys.argv[1])

def part():
    def end(*_):
        (home / "ended").write_text("asked" if control.supervised() else "lost")
        raise SystemExit
    signal.signal(signal.SIGTERM, end)
    (home / "begun").touch()
    while True:
        signal.pause()

config = Config(home=home)
claim_home(config)
Supervisor(config, [Part("worker", part)]).run()
"""


class Cloud:
    """A supervisor of one part."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.begun, self.ended = home / "begun", home / "ended"
        for file in (self.begun, self.ended):
            file.unlink(missing_ok=True)
        words = [sys.executable, "-c", PROGRAM, str(home)]
        self.process = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(SOURCE)})
        until(self.begun.exists)

    def end(self, number: signal.Signals) -> str:
        """How the part says that it ended."""
        self.process.send_signal(number)
        self.process.wait(60)
        until(lambda: self.ended.exists() and self.ended.read_text())
        return self.ended.read_text()


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    return tmp_path


def incidents(home: Path) -> list[tuple[float, float, bool]]:
    return [tuple(i) for part in control.read(home / "run") for i in part.incidents]  # type: ignore[misc]


def test_parts_tell_a_stop_from_the_loss_of_their_supervisor(home: Path) -> None:
    first = Cloud(home)
    assert first.end(signal.SIGTERM) == "asked"
    second = Cloud(home)
    until(lambda: control.read(home / "run"))
    assert incidents(home) == [], "it was stopped in order"
    died = time.time()
    assert second.end(signal.SIGKILL) == "lost"
    third = Cloud(home)
    until(lambda: incidents(home))
    since, seconds, _ = incidents(home)[0]
    assert since <= died + 1 and since + seconds >= died
    third.end(signal.SIGKILL)
    last = Cloud(home)
    until(lambda: len(incidents(home)) == 2)  # what was measured before is kept
    assert last.end(signal.SIGTERM) == "asked"
