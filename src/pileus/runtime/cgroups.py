"""Memory, process and CPU limits of a worker by control groups, version 2 or 1 (cgroups(7)).

A base group ``pileus-ID`` holds one group per worker. In version 2 a group with processes cannot
pass controllers on, so the base is put beside our own group, or above it, where that works.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from pileus.groups import MOUNTS, OWN, read_hierarchies

FULL_CORE_MB = 1769  # AWS gives one vCPU at this memory size
SWEEP_S_MAX = 5.0  # a killed process needs the CPU once more to end
V1_CONTROLLERS = ("memory", "pids", "cpu")
V2_CONTROLLERS = {"memory", "pids"}


class Group:
    """One worker's group: one folder (version 2) or one a controller (version 1)."""

    def __init__(self, folders: dict[str, Path]) -> None:
        self._folders = folders
        self.v2 = "unified" in folders
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        memory = folders["unified" if self.v2 else "memory"]
        self._peak = self._open(
            memory, ("memory.peak", "memory.current") if self.v2 else ("memory.max_usage_in_bytes",)
        )
        self._stat = self._open(memory, ("memory.stat",))
        self._anonymous = b"anon " if self.v2 else b"total_rss "

    @staticmethod
    def _open(folder: Path, names: tuple[str, ...]) -> int:
        name = next(n for n in names if (folder / n).exists())
        return os.open(folder / name, os.O_RDONLY | os.O_CLOEXEC)

    def limit(self, memory_bytes: int, processes: int, memory_mb: int) -> None:
        """The hard caps, and a CPU share in proportion to the function's memory size."""
        if self.v2:
            folder = self._folders["unified"]
            (folder / "memory.max").write_text(str(memory_bytes))
            _write(folder / "memory.swap.max", "0")
            (folder / "pids.max").write_text(str(processes))
            _write(folder / "cpu.weight", str(max(1, min(10000, memory_mb * 100 // FULL_CORE_MB))))
            _write(folder / "memory.oom.group", "1")
            return
        swap = self._folders["memory"] / "memory.memsw.limit_in_bytes"  # never below the other
        _write(swap, "-1")
        (self._folders["memory"] / "memory.limit_in_bytes").write_text(str(memory_bytes))
        _write(swap, str(memory_bytes))
        (self._folders["pids"] / "pids.max").write_text(str(processes))
        if "cpu" in self._folders:
            shares = max(2, memory_mb * 1024 // FULL_CORE_MB)
            (self._folders["cpu"] / "cpu.shares").write_text(str(shares))

    def open_procs(self) -> list[int]:
        """Descriptors a process writes ``0`` to in order to join. The caller closes them."""
        return [os.open(f / "cgroup.procs", os.O_WRONLY) for f in self._folders.values()]

    def peak_bytes(self) -> int:
        return int(os.pread(self._peak, 32, 0))

    def anonymous_bytes(self) -> int:
        """Memory of the processes themselves: files and ``/tmp`` not counted."""
        text = os.pread(self._stat, 8192, 0)
        at = text.find(self._anonymous)
        return int(text[at + len(self._anonymous) :].split(None, 1)[0]) if at >= 0 else 0

    def out_of_memory(self) -> bool:
        """Did the kernel kill something here for want of memory?"""
        folder = self._folders["unified" if self.v2 else "memory"]
        name = "memory.events" if self.v2 else "memory.oom_control"
        words = (folder / name).read_text().split()
        return "oom_kill" in words and int(words[words.index("oom_kill") + 1]) > 0

    def remove(self) -> bool:
        """Once the processes are gone. False while the kernel still counts one."""
        for fd in (self._peak, self._stat):
            if fd >= 0:
                os.close(fd)
        self._peak = self._stat = -1
        return all(_remove(folder) for folder in self._folders.values())


class Cgroups:
    """The base group. ``kind`` is 'v2', 'v1' or '' (no limits can be set: see ``reason``)."""

    def __init__(
        self,
        name: str,
        mounts: Path = MOUNTS,
        own: Path = OWN,
    ) -> None:
        self.kind = ""
        self.reason = ""
        self._bases: dict[str, Path] = {}
        hierarchies = read_hierarchies(mounts, own)
        troubles = []
        for kind, set_up in (("v2", self._set_up_v2), ("v1", self._set_up_v1)):
            try:
                self._bases = set_up(hierarchies, name)
                self.kind = kind
                self._sweep()
                return
            except (OSError, LookupError) as e:
                troubles.append(f"{kind}: {e}")
        self._bases = {}
        self.reason = "; ".join(troubles)

    @staticmethod
    def _set_up_v2(hierarchies: dict[str, Path], name: str) -> dict[str, Path]:
        own = hierarchies["unified"]
        for parent in (own, own.parent):
            offered = (parent / "cgroup.controllers").read_text().split()
            if not V2_CONTROLLERS.issubset(offered):
                continue
            wanted = "+memory +pids" + (" +cpu" if "cpu" in offered else "")
            with contextlib.suppress(OSError):  # busy: a group with processes
                (parent / "cgroup.subtree_control").write_text(wanted)
            passed = (parent / "cgroup.subtree_control").read_text().split()
            if not V2_CONTROLLERS.issubset(passed):
                continue
            base = parent / name
            base.mkdir(exist_ok=True)
            wanted = " ".join(f"+{c}" for c in passed if c in ("memory", "pids", "cpu"))
            (base / "cgroup.subtree_control").write_text(wanted)
            return {"unified": base}
        raise LookupError("the memory and pids controllers are not delegated to us")

    @staticmethod
    def _set_up_v1(hierarchies: dict[str, Path], name: str) -> dict[str, Path]:
        missing = [c for c in V1_CONTROLLERS[:2] if c not in hierarchies]
        if missing:
            raise LookupError(f"no controller {' or '.join(missing)}")
        bases = {c: hierarchies[c] / name for c in V1_CONTROLLERS if c in hierarchies}
        try:
            for base in bases.values():
                base.mkdir(exist_ok=True)
        except OSError:
            for base in bases.values():
                _remove(base)
            raise
        return bases

    def create(self, name: str) -> Group | None:
        """A new worker's group; None where there are no cgroups."""
        if not self.kind:
            return None
        return Group({c: base / name for c, base in self._bases.items()})

    def _sweep(self) -> None:
        """End what a killed predecessor left behind."""
        until = time.monotonic() + SWEEP_S_MAX
        for base in self._bases.values():
            for folder in [f for f in base.iterdir() if f.is_dir()]:
                while not _remove(folder) and time.monotonic() < until:
                    for pid in (folder / "cgroup.procs").read_text().split():
                        with contextlib.suppress(ProcessLookupError):
                            os.kill(int(pid), signal.SIGKILL)
                    time.sleep(0.01)

    def remove(self) -> None:
        self._sweep()
        for base in self._bases.values():
            _remove(base)


def _remove(folder: Path) -> bool:
    try:
        folder.rmdir()
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def _write(file: Path, text: str) -> None:
    """For settings not every kernel has."""
    if file.exists():
        file.write_text(text)
