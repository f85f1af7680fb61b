"""How much memory a worker's processes hold: from its control group, else from /proc."""

from __future__ import annotations

import os
from pathlib import Path

from pileus.runtime.cgroups import Group


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


def exceeds(group: Group | None, pid: int, limit_bytes: int) -> bool:
    """Do the processes of the enclosure whose process 1 is ``pid`` hold more? (``/tmp`` lives in
    memory too and has its own limit, so the kernel's cap is the sum of both.)"""
    if group is None:
        pids = namespace_pids(pid)
        if sum(resident_bytes(p, b"RssAnon:") for p in pids) <= limit_bytes:
            return False
        # The zygote's pages count in each process: look closer.
        return sum(resident_bytes(p, b"Pss_Anon:", "smaps_rollup") for p in pids) > limit_bytes
    try:
        return group.peak_bytes() > limit_bytes and group.anonymous_bytes() > limit_bytes
    except OSError:
        return False  # it has just ended
