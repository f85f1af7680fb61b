"""What a process and its children use, as the kernel tells it (proc(5))."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)


class Usage(NamedTuple):
    """``cpu_s``: CPU seconds so far, children that ended included; ``memory_bytes``: memory, pages
    shared with others divided among them; ``processes``: how many there are."""

    cpu_s: float
    memory_bytes: int
    processes: int


def usage(pid: int) -> Usage:
    """Of ``pid`` and everything below it; zeros when it is gone."""
    cpu, memory, count = 0.0, 0, 0
    waiting, tick = [pid], os.sysconf("SC_CLK_TCK")
    while waiting:
        place = PROC / str(waiting.pop())
        try:
            fields = (place / "stat").read_text().rpartition(")")[2].split()
            waiting += [
                int(c) for f in place.glob("task/*/children") for c in f.read_text().split()
            ]
            memory += _memory(place)
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended while we looked, or is another user's
        cpu += sum(int(fields[n]) for n in (11, 12, 13, 14)) / tick
        count += 1
    return Usage(cpu, memory, count)


def _memory(place: Path) -> int:
    try:
        found = _PSS.search((place / "smaps_rollup").read_bytes())
    except PermissionError:
        found = None
    if found is not None:
        return int(found[1]) * 1024
    pages = int((place / "statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
