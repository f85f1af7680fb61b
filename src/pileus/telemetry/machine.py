"""What the kernel knows: processes of this cloud, the machine, the disk (``proc(5)``).

Linux only; elsewhere there is nothing to tell, and nothing fails.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

RUNTIME = "runtime"
FUNCTIONS = "functions"


@dataclass(slots=True)
class Usage:
    """One part's use: CPU seconds so far, resident bytes, proportional bytes (0: not asked)."""

    cpu_s: float = 0.0
    rss_bytes: float = 0.0
    pss_bytes: float = 0.0
    processes: int = 0


def children(pid: int) -> list[int]:
    """The direct children of a process's first thread."""
    return [int(c) for c in _text(f"{pid}/task/{pid}/children").split()]


def descendants(pid: int) -> Iterator[int]:
    """Everything below a process, whichever of its threads started it."""
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in map(int, _text(f"{pid}/task/{thread}/children").split()):
            yield child
            yield from descendants(child)


@dataclass
class Processes:
    """The parts of one cloud, by the pid of its supervisor. CPU of workers that ended stays
    counted: a part's seconds never fall."""

    supervisor: int
    _seen: dict[int, float] = field(default_factory=dict)
    _ended: dict[str, float] = field(default_factory=dict)
    _part: dict[int, str] = field(default_factory=dict)
    _tick_s: float = field(default_factory=lambda: 1 / os.sysconf("SC_CLK_TCK"))
    _page: int = field(default_factory=lambda: os.sysconf("SC_PAGE_SIZE"))

    def usage(self, known: Mapping[int, str], proportional: bool = False) -> dict[str, Usage]:
        """Use by part. ``known``: names of pids; others go by their command's name.
        ``proportional`` asks for the shares of shared pages, too (a millisecond each)."""
        parts = {self.supervisor: "supervisor"}
        for pid in children(self.supervisor):
            name = known.get(pid) or _command(pid)
            if name != "cli":  # a part that was just forked and has not said its name
                parts[pid] = name
        for pid, name in list(parts.items()):
            if name == RUNTIME:
                parts.update(dict.fromkeys(descendants(pid), FUNCTIONS))
        self._settle(parts)
        self._part |= parts
        found: dict[str, Usage] = {}
        for pid, name in parts.items():
            usage = found.setdefault(name, Usage())
            self._add(usage, pid, proportional)
        for name, seconds in self._ended.items():
            found.setdefault(name, Usage()).cpu_s += seconds
        return found

    def _settle(self, parts: Mapping[int, str]) -> None:
        for pid in [p for p in self._seen if p not in parts]:
            name = self._part.pop(pid)
            self._ended[name] = self._ended.get(name, 0.0) + self._seen.pop(pid)

    def _add(self, usage: Usage, pid: int, proportional: bool) -> None:
        fields = _text(f"{pid}/stat").rpartition(")")[2].split()
        if len(fields) < 22:
            return  # it ended meanwhile
        if proportional:
            usage.pss_bytes += _pss(pid)
        seconds = (int(fields[11]) + int(fields[12])) * self._tick_s
        usage.cpu_s += seconds
        usage.rss_bytes += int(fields[21]) * self._page
        usage.processes += 1
        self._seen[pid] = seconds


def _command(pid: int) -> str:
    """A part by what runs in it: a module of ours, or a program's name."""
    found = re.search(r"-m\0pileus\.(\w+)", _text(f"{pid}/cmdline"))
    return found[1] if found else _text(f"{pid}/comm").strip() or "unknown"


def _pss(pid: int) -> float:
    """0 where it may not be read: another user's process (a jailed worker)."""
    found = re.search(r"^Pss:\s+(\d+)", _text(f"{pid}/smaps_rollup"), re.M)
    return 1024.0 * int(found[1]) if found else 0.0


# -- the machine --------------------------------------------------------------------------------


def counters() -> dict[str, float]:
    """Numbers of the machine that only grow: CPU seconds by kind, bytes to and from network and
    disks."""
    found: dict[str, float] = {}
    tick_s = 1 / os.sysconf("SC_CLK_TCK")
    for line in _lines("stat")[:1]:
        told = [float(n) * tick_s for n in line.split()[1:]]
        found["machine_cpu_busy"] = sum(told[:3]) + sum(told[5:8])
        found["machine_cpu_waiting"] = told[4]
    for line in _lines("net/dev")[2:]:
        name, _, rest = line.partition(":")
        kind = "loopback" if name.strip() == "lo" else "network"
        told = [float(n) for n in rest.split()]
        found[f"machine_{kind}_received_bytes"] = (
            found.get(f"machine_{kind}_received_bytes", 0.0) + told[0]
        )
        found[f"machine_{kind}_sent_bytes"] = found.get(f"machine_{kind}_sent_bytes", 0.0) + told[8]
    for line in _lines("diskstats"):
        told_of = line.split()
        if len(told_of) > 9 and _is_disk(told_of[2]):
            for name, at in (("read", 5), ("written", 9)):
                key = f"machine_disk_{name}_bytes"
                found[key] = found.get(key, 0.0) + 512 * float(told_of[at])
    return found


def _is_disk(device: str) -> bool:
    """A whole disk: no partition, nothing made of others."""
    made = ("loop", "ram", "dm-", "zram", "md")
    return not device.startswith(made) and (Path("/sys/block") / device).exists()


def gauges(home: Path) -> dict[str, float]:
    """Numbers of the machine as they are: memory, load, pressure, the disk under ``home``."""
    found: dict[str, float] = {}
    for line in _lines("meminfo"):
        name, _, rest = line.partition(":")
        if name in ("MemTotal", "MemAvailable"):
            key = "total" if name == "MemTotal" else "available"
            found[f"machine_memory_{key}_bytes"] = 1024 * float(rest.split()[0])
    for line in _lines("loadavg"):
        found["machine_load"] = float(line.split()[0])
    for kind in ("cpu", "memory", "io"):
        for line in _lines(f"pressure/{kind}")[:1]:
            found[f"machine_{kind}_pressure"] = float(line.split()[1].partition("=")[2]) / 100
    try:
        disk = os.statvfs(home)
    except OSError:
        return found
    found["disk_free_bytes"] = float(disk.f_bavail * disk.f_frsize)
    found["disk_used_bytes"] = float((disk.f_blocks - disk.f_bfree) * disk.f_frsize)
    return found


def _lines(name: str) -> list[str]:
    return _text(name).splitlines()


def _text(name: str) -> str:
    """A file of ``/proc``; '' where there is none (any more)."""
    try:
        with open(f"/proc/{name}", "rb", buffering=0) as file:
            return file.readall().decode("utf-8", "replace")
    except OSError:
        return ""
