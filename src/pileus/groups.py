"""The control groups this process lies in, and how many processors it may use.

cgroups(7); https://docs.kernel.org/admin-guide/cgroup-v2.html ("CPU Interface Files")
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Iterator
from pathlib import Path

MOUNTS, OWN = Path("/proc/self/mountinfo"), Path("/proc/self/cgroup")


def cores(mounts: Path = MOUNTS, own: Path = OWN) -> int:
    """Those it may run on, and no more than its groups allow it time of: half a processor counts
    as one, two and a half as three."""
    allowed = [float(len(os.sched_getaffinity(0)))]
    with contextlib.suppress(OSError):  # no control groups here
        folders = read_hierarchies(mounts, own)
        for name, quota in (("unified", _quota), ("cpu", _quota_v1)):
            if name in folders:
                allowed += [found for at in _upwards(folders[name]) if (found := quota(at))]
    return max(1, math.ceil(min(allowed)))


def _upwards(folder: Path) -> Iterator[Path]:
    """A group and those around it: each may allow less than the one within."""
    while (folder / "cgroup.procs").exists():
        yield folder
        folder = folder.parent


def _quota(group: Path) -> float | None:
    """Processors; None: no limit. (The root has no such file.)"""
    try:
        quota, period = (group / "cpu.max").read_text().split()
    except FileNotFoundError:
        return None
    return None if quota == "max" else int(quota) / int(period)


def _quota_v1(group: Path) -> float | None:
    try:
        quota = int((group / "cpu.cfs_quota_us").read_text())
        period = int((group / "cpu.cfs_period_us").read_text())
    except FileNotFoundError:
        return None
    return None if quota < 0 else quota / period


def read_hierarchies(mounts: Path = MOUNTS, own: Path = OWN) -> dict[str, Path]:
    """Our own group's folder in each hierarchy: ``unified`` and the names of v1 controllers."""
    paths: dict[str, str] = {}
    for line in own.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(",") if controllers else ["unified"]:
            paths[controller] = path
    found: dict[str, Path] = {}
    for line in mounts.read_text().splitlines():
        before, _, after = line.partition(" - ")
        kind, _, options = after.split(" ", 2)
        fields = before.split(" ")
        point, inside = Path(fields[4]), fields[3]
        names = {"cgroup2": ["unified"], "cgroup": options.split(",")}.get(kind, [])
        for name in names:
            if name in paths:
                path = paths[name]
                if inside != "/" and path.startswith(inside):
                    path = path[len(inside) :]
                folder = point / path.lstrip("/")
                found.setdefault(name, folder if folder.is_dir() else point)
    return found
