"""Series of numbers on disk, a row a second (or a minute), the oldest dropped.

A ring is a folder of segments. A segment is a file of rows of equal length: the row's time (as a
count of steps, so that a row never written or torn is not taken for one), then one float32 per
column; ``.names`` beside it says which series a column is. A row is one write to the page cache:
whatever dies, earlier rows stand. A segment ends when it is an hour (of rows) long or its columns
are used up; the next may be wider.
"""

from __future__ import annotations

import json
import math
import os
import struct
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

HEAD = struct.Struct("<8sQIII")  # mark, first step, columns, rows, seconds a step
HEAD_BYTES = 64
MARK = b"PLSRNG1\0"
ROWS = 3600
COLUMNS_MIN, COLUMNS_MAX = 256, 4096
READ_ROWS = 512
NAN = float("nan")


@dataclass(frozen=True, slots=True)
class Segment:
    """One file: ``first`` is the step of its first row."""

    path: Path
    first: int
    columns: int
    rows: int
    step_s: int

    @property
    def row_bytes(self) -> int:
        return 4 * (self.columns + 1)

    @property
    def end(self) -> int:
        return self.first + self.rows

    def names(self) -> list[str]:
        """Which series each column is, as far as it can be read."""
        return self.told()[0]

    def told(self) -> tuple[list[str], bool]:
        """``names``, and whether that is all: what was not synced may be gone after a power cut,
        or read as zeros."""
        try:
            text = self.path.with_suffix(".names").read_text(errors="replace")
        except FileNotFoundError:
            return [], True
        lines = text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]  # a torn tail
        found: list[str] = []
        for line in lines:
            try:
                found.append(str(json.loads(line)))
            except ValueError:
                return found, False
        return found, True


def segments(folder: Path) -> list[Segment]:
    """The segments of a ring in the order they were begun."""
    found = []
    for path in sorted(folder.glob("*.rows")):
        try:
            with path.open("rb") as file:
                head = file.read(HEAD.size)
        except FileNotFoundError:
            continue
        if len(head) == HEAD.size and head.startswith(MARK):
            found.append(Segment(path, *HEAD.unpack(head)[1:]))
    return found


@dataclass
class Ring:
    """The writer of a ring. One per folder in the whole cloud."""

    folder: Path
    step_s: int
    keep: int  # rows
    dropped: int = 0  # series there was no column for
    _segment: Segment | None = None
    _fd: int = -1
    _columns: dict[str, int] = field(default_factory=dict)
    _seen: dict[str, int] = field(default_factory=dict)  # the step of its last number
    _number: int = 0

    def open(self) -> None:
        """Go on with the newest segment where there is one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = segments(self.folder)
        if not found:
            return
        last = found[-1]
        self._number = int(last.path.stem) + 1
        names, whole = last.told()
        if last.step_s == self.step_s and whole:
            self._segment = last
            self._fd = os.open(last.path, os.O_RDWR | os.O_CLOEXEC)
            self._columns = {name: i for i, name in enumerate(names)}

    def append(self, at_s: float, values: Mapping[str, float]) -> None:
        """The row of this moment; written again when one of this step is there."""
        step = int(at_s) // self.step_s
        segment = self._segment
        if segment is None or not segment.first <= step < segment.end:
            segment = self._begin(step, len(self._columns))
        new = [name for name in values if name not in self._columns]
        if new and len(self._columns) + len(new) > segment.columns < COLUMNS_MAX:
            segment = self._begin(step, 2 * (len(self._columns) + len(new)))
            new = [name for name in values if name not in self._columns]
        self._name(segment, new)
        row = array("f", [NAN]) * segment.columns
        columns, seen = self._columns, self._seen
        for name, value in values.items():
            column = columns.get(name)
            if column is None:
                self.dropped += 1
            else:
                row[column] = value
                seen[name] = step
        at = HEAD_BYTES + (step - segment.first) * segment.row_bytes
        os.pwrite(self._fd, struct.pack("=I", step & 0xFFFFFFFF) + row.tobytes(), at)

    def _name(self, segment: Segment, new: list[str]) -> None:
        room = segment.columns - len(self._columns)
        taken = new[:room]
        if not taken:
            return
        with segment.path.with_suffix(".names").open("a") as file:
            file.writelines(json.dumps(name) + "\n" for name in taken)
        for name in taken:
            self._columns[name] = len(self._columns)

    def _begin(self, step: int, wanted: int) -> Segment:
        """A new segment from ``step`` on, with columns for the series that still live."""
        self.close()
        living = [n for n in self._columns if self._seen.get(n, 0) > step - ROWS // 4]
        columns = COLUMNS_MIN
        while columns < min(max(wanted, len(living) + 1), COLUMNS_MAX):
            columns *= 2
        path = self.folder / f"{self._number:012d}.rows"
        self._number += 1
        path.with_suffix(".names").unlink(missing_ok=True)
        self._fd = os.open(path, os.O_CREAT | os.O_TRUNC | os.O_RDWR | os.O_CLOEXEC, 0o600)
        head = HEAD.pack(MARK, step, columns, ROWS, self.step_s)
        os.pwrite(self._fd, head.ljust(HEAD_BYTES, b"\0"), 0)
        self._segment = Segment(path, step, columns, ROWS, self.step_s)
        self._columns = {}
        self._name(self._segment, living)
        self._trim(step)
        return self._segment

    def _trim(self, step: int) -> None:
        """Drop what is older than the ring keeps, and never keep more segments than that takes."""
        found = segments(self.folder)
        limit = 2 * (self.keep // ROWS + 2)
        for place, segment in enumerate(found[:-1]):
            if segment.end < step - self.keep or len(found) - place > limit:
                segment.path.unlink(missing_ok=True)
                segment.path.with_suffix(".names").unlink(missing_ok=True)

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


# -- reading ------------------------------------------------------------------------------------


def names(folder: Path) -> list[str]:
    """Every series the ring holds, sorted."""
    found: set[str] = set()
    for segment in segments(folder):
        found.update(segment.names())
    return sorted(found)


def read(folder: Path, wanted: list[str], first: int, end: int) -> dict[str, array[float]]:
    """The numbers of steps ``first`` to before ``end``; NaN where there is none. A later segment
    wins over an earlier one (a clock that was set back)."""
    out = {name: array("f", [NAN]) * max(end - first, 0) for name in wanted}
    for segment in segments(folder):
        low, high = max(first, segment.first), min(end, segment.end)
        if low >= high:
            continue
        columns = {name: i for i, name in enumerate(segment.names())}
        held = [(out[name], columns[name]) for name in wanted if name in columns]
        if not held:
            continue
        for at, rows, good in _rows(segment, low, high):
            stride = segment.columns + 1
            for target, column in held:
                values = rows[column + 1 :: stride]
                for run in good:
                    target[at + run.start - first : at + run.stop - first] = values[
                        run.start : run.stop
                    ]
    return out


def _rows(segment: Segment, low: int, high: int) -> Iterator[tuple[int, array[float], list[range]]]:
    """(step of the first row, the rows' numbers, the runs of rows that were written)."""
    try:
        fd = os.open(segment.path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        for at in range(low, high, READ_ROWS):
            count = min(READ_ROWS, high - at)
            offset = HEAD_BYTES + (at - segment.first) * segment.row_bytes
            raw = os.pread(fd, count * segment.row_bytes, offset)
            raw = raw[: len(raw) // segment.row_bytes * segment.row_bytes]
            if not raw:
                continue
            marks = array("I", raw)[:: segment.columns + 1]
            yield at, array("f", raw), _runs(marks, at)
    finally:
        os.close(fd)


def _runs(marks: array[int], at: int) -> list[range]:
    """Where the rows' marks are those of their steps."""
    if list(marks) == [(at + i) & 0xFFFFFFFF for i in range(len(marks))]:
        return [range(len(marks))]
    return [range(i, i + 1) for i, mark in enumerate(marks) if mark == (at + i) & 0xFFFFFFFF]


def fold(values: array[float], every: int, kind: str = "mean") -> list[float]:
    """Every ``every`` numbers become one: their mean or maximum, numbers there are alone."""
    out = []
    for at in range(0, len(values), every):
        held = [v for v in values[at : at + every] if not math.isnan(v)]
        if not held:
            out.append(NAN)
        else:
            out.append(max(held) if kind == "max" else sum(held) / len(held))
    return out
