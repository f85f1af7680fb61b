"""A part that lives and answers nobody is replaced, whichever it is (C2, C7, C8)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pileus import control
from tests.conftest import SOURCE
from tests.supervisor.test_lost import until

PROGRAM = """
import http.server, os, socketserver, sys
from pathlib import Path
from pileus import outages
from pileus.config import Config
from pileus.supervisor import Part, Supervisor, claim_home

home, name = Path(sys.argv[1]), sys.argv[2]
outages.HUNG_S, outages.PROBE_EVERY_S = 3.0, 0.2

class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        page = "/healthz?js-enabled-only=true" if name == "log" else "/_pileus/health"
        self.send_response(200 if self.path == page else 404)
        self.send_header("content-length", "0")
        self.end_headers()

    address_string = log_message = lambda *_: ""

def log():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    (home / "nats").mkdir(exist_ok=True)
    told = f'server_name: "n1"\\nhttp: "127.0.0.1:{server.server_port}"\\n'
    (home / "nats" / "server.conf").write_text(told)
    server.serve_forever()

def front():
    path = home / "run" / "edge-1.sock"
    path.unlink(missing_ok=True)
    socketserver.ThreadingUnixStreamServer(str(path), Answer).serve_forever()

config = Config(home=home)
claim_home(config)
Supervisor(config, [Part(name, log if name == "log" else front)]).run()
"""


@pytest.fixture(params=["front-1", "log"])
def part(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """The home of a supervisor of one part of that name."""
    words = [sys.executable, "-c", PROGRAM, str(tmp_path), request.param]
    supervisor = subprocess.Popen(words, env=os.environ | {"PYTHONPATH": str(SOURCE)})
    try:
        yield tmp_path
    finally:
        supervisor.terminate()
        supervisor.wait(60)


def told(home: Path) -> control.Told | None:
    """How the part is, once it serves."""
    found = [part for part in control.read(home / "run") if part.pid and not part.away_since]
    return found[0] if found else None


def test_a_part_that_hangs_is_replaced_and_its_absence_counted(part: Path) -> None:
    until(lambda: told(part))
    first = told(part)
    assert first is not None and first.incidents == []
    time.sleep(1.0)  # it is asked and answers: that alone replaces nobody
    again = told(part)
    assert again is not None and again.pid == first.pid
    os.kill(first.pid, signal.SIGSTOP)
    until(lambda: (now := told(part)) and now.pid != first.pid and now.incidents)
    now = told(part)
    assert now is not None and now.ended == "signal 9"
    assert now.incidents[0][1] > 0
