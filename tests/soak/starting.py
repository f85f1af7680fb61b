"""How long a start takes, measured from outside, by a process that does nothing else.

    python -m tests.soak.starting PORT HOME pileus up …

Runs the command, asks ``GET /_pileus/health`` on PORT by a fresh connection every 2 ms and prints
one line of JSON when it answers 200: see ``Start``. A process of its own, because a test full of
threads would measure itself.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

ASK = b"GET /_pileus/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
SECONDS_MAX = 60.0


@dataclass(frozen=True)
class Start:
    """Seconds until health answered 200. ``command_seconds``: since the command was typed, the
    interpreter's own start and imports included. ``process_seconds``: since the cloud's first
    process (its supervisor, a fork of the command) was made, to the clock tick of 10 ms.
    ``cpu_seconds``: what command and cloud had used by then, so that a busy machine can be told
    from a slow start; ``load`` is what the machine had to do meanwhile, in cores (all of it)."""

    command_seconds: float
    process_seconds: float
    cpu_seconds: float
    load: float


def answers(port: int) -> bool:
    """Whether health answers 200 on ``port`` now."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1) as s:
            s.sendall(ASK)
            return s.recv(64).startswith(b"HTTP/1.1 200")
    except OSError:
        return False


def process_tree(pid: int) -> list[int]:
    """``pid`` and all its descendants, as /proc tells."""
    found = [pid]
    for each in found:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            try:
                found += [int(p) for p in task.read_text().split()]
            except OSError:
                continue
    return found


def _stat(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def age_seconds(pid: int) -> float:
    """How long ago ``pid`` was made."""
    made = int(_stat(pid)[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - made


def cpu_seconds(pid: int) -> float:
    """User and system time of ``pid`` and its descendants."""
    ticks = 0
    for each in process_tree(pid):
        try:
            stat = _stat(each)
        except OSError:
            continue
        ticks += int(stat[11]) + int(stat[12])
    return ticks / os.sysconf("SC_CLK_TCK")


def busy_seconds() -> float:
    """What all cores of the machine have done since it started, idle and disk waits apart."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    idle = int(words[3]) + int(words[4])
    return (sum(map(int, words)) - idle) / os.sysconf("SC_CLK_TCK")


def measure(port: int, home: Path, command: Sequence[str]) -> Start:
    """Run ``command`` (it must detach) and time it. ``RuntimeError`` when health never answers."""
    began, busy = time.monotonic(), busy_seconds()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as child:
        while not answers(port):
            failed = child.poll() not in (None, 0)
            if failed or time.monotonic() - began > SECONDS_MAX:
                child.kill()
                told = child.stdout.read() if child.stdout else b""
                raise RuntimeError(f"the cloud did not start: {told.decode(errors='replace')}")
            time.sleep(0.002)
        took = time.monotonic() - began
        load = (busy_seconds() - busy) / took
        pid = int(json.loads((home / "run" / "cloud.json").read_text())["pid"])
        age, used = age_seconds(pid), cpu_seconds(pid)
        child.communicate(timeout=SECONDS_MAX)
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Start(took, age, used + spent.ru_utime + spent.ru_stime, load)


def main() -> None:
    port, home, *command = sys.argv[1:]
    print(json.dumps(asdict(measure(int(port), Path(home), command))))


if __name__ == "__main__":
    main()
