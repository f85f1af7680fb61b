"""What all processes of a node published, read from their files. See ``meters``."""

from __future__ import annotations

import json
import os
import time
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pileus.telemetry.histogram import CELLS
from pileus.telemetry.meters import HEAD, HEAD_BYTES, MARK

GONE_S = 60.0
Labels = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Meter:
    """One counter: ``name``, its ``kind`` (counter, gauge, requests), labels, and its place."""

    name: str
    kind: str
    at: int
    labels: Labels

    @property
    def size(self) -> int:
        return CELLS if self.kind == "requests" else 1


@dataclass(frozen=True, slots=True)
class Reading:
    """One process's numbers at one moment (``at_s`` since 1970) and its CPU time until then."""

    process: str
    pid: int
    started_s: float
    at_s: float
    cpu_s: float
    meters: Sequence[Meter]
    cells: Sequence[float]
    raw: bytes

    def block(self, meter: Meter) -> Sequence[float]:
        return self.cells[meter.at : meter.at + meter.size]


def _long_gone(reading: Reading) -> bool:
    """Dead for a minute: nobody restarts it (there are fewer fronts than there were)."""
    if time.time() - reading.at_s < GONE_S:
        return False
    try:
        os.kill(reading.pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False  # another user's by now, or ours under another name
    return False


@dataclass
class Readings:
    """Reads the node under ``home`` again and again; names are parsed once."""

    home: Path
    _names: dict[str, tuple[int, list[Meter]]] = field(default_factory=dict)

    def all(self) -> Iterator[Reading]:
        """One reading per process that ever published and did not stop in order."""
        folder = self.home / "run" / "meters"
        try:
            names = sorted(n for n in os.listdir(folder) if n.endswith(".cells"))
        except FileNotFoundError:
            return
        for name in names:
            found = self._read(folder / name)
            if found is not None and not _long_gone(found):
                yield found

    def one(self, process: str) -> Reading | None:
        """That of one process; None when it never published, or stopped in order."""
        return self._read(self.home / "run" / "meters" / f"{process}.cells")

    def _read(self, path: Path) -> Reading | None:
        """None while a process is just coming or going."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            head = os.pread(fd, HEAD.size, 0)
            if len(head) < HEAD.size:
                return None
            mark, pid, started_s, at_s, cpu_s, count, lines = HEAD.unpack(head)
            if mark != MARK:
                return None
            raw = os.pread(fd, 8 * count, HEAD_BYTES)
        finally:
            os.close(fd)
        raw = raw[: len(raw) // 8 * 8]
        cells = array("d", raw)
        meters = self._meters(path.with_suffix(".names"), pid, lines)
        if meters is None:
            return None
        fit = [m for m in meters if m.at + m.size <= len(cells)]
        return Reading(path.stem, pid, started_s, at_s, cpu_s, fit, cells, raw)

    def _meters(self, path: Path, pid: int, lines: int) -> list[Meter] | None:
        key = f"{path.name}/{pid}"
        known = self._names.get(key)
        if known is not None and known[0] == lines:
            return known[1]
        try:
            told = path.read_text().splitlines()[:lines]
        except FileNotFoundError:
            return None
        meters = []
        for line in told:
            m = json.loads(line)
            meters.append(Meter(m["name"], m["kind"], m["at"], tuple(m["labels"].items())))
        for old in [k for k in self._names if k.partition("/")[0] == path.name]:
            del self._names[old]
        self._names[key] = (lines, meters)
        return meters
