"""How much memory a worker's processes hold, from /proc: where there are no control groups."""

from __future__ import annotations

import os
from pathlib import Path


def namespace_pids(first: int) -> list[int]:
    """All processes in the process namespace of ``first``."""

    def namespace(pid: str) -> str:
        try:
            return os.readlink(f"/proc/{pid}/ns/pid")
        except OSError:
            return ""  # gone, or not ours

    own = namespace(str(first))
    if not own or own == namespace("self"):
        return [first]
    return [int(p) for p in os.listdir("/proc") if p.isdigit() and namespace(p) == own]


def resident_bytes(pid: int, name: bytes, file: str = "status") -> int:
    """A size from /proc/PID/status or the like, in bytes; 0 when the process is gone."""
    try:
        text = Path(f"/proc/{pid}/{file}").read_bytes()
    except OSError:
        return 0
    at = text.find(name)
    return int(text[at + len(name) :].split(None, 1)[0]) * 1024 if at >= 0 else 0
