"""What a worker writes, cut into log events, and the platform's own lines around it.

Line formats: Lambda developer guide, "Viewing CloudWatch logs for Lambda functions".
"""

from __future__ import annotations

import asyncio
import datetime
import json
import math
import os
import struct
import time
from collections.abc import Callable, Mapping

FRAME = b"\xa5\x5a\x00\x03"  # a message that may hold newlines, as AWS's telemetry frames it
FRAME_HEAD = struct.Struct(">4sIQ")
EVENT_BYTES_MAX = 256 * 1024
KEPT_BYTES_MAX = 8 * 1024 * 1024  # held in memory for one invocation
PIPE_READ_BYTES = 65536
FLOOD_PAUSE_S = 0.1

Line = tuple[int, str]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class LogReader:
    """Reads one worker's standard output and error. ``take`` answers the events since the last
    call."""

    def __init__(self, fd: int) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._pending = b""
        self._lines: list[Line] = []
        self._bytes = 0
        self._dropped = 0

    def watch(
        self, loop: asyncio.AbstractEventLoop, on_flood: Callable[[], None] = lambda: None
    ) -> None:
        """Read as output comes. Who writes more than is kept gets slowed down: the pipe is then
        looked at ten times a second only, and ``on_flood`` is called each time."""
        if self._fd >= 0:
            loop.add_reader(self._fd, self._read, loop, on_flood)

    def _read(self, loop: asyncio.AbstractEventLoop, on_flood: Callable[[], None]) -> None:
        self.drain(4)
        if self._dropped and self._fd >= 0:
            loop.remove_reader(self._fd)
            loop.call_later(FLOOD_PAUSE_S, self.watch, loop, on_flood)
            on_flood()

    def drain(self, rounds: int = 64) -> None:
        """Read what lies in the pipe (bounded: an endless writer must not hold us)."""
        for _ in range(rounds if self._fd >= 0 else 0):
            try:
                data = os.read(self._fd, PIPE_READ_BYTES)
            except BlockingIOError:
                return
            if not data:
                asyncio.get_running_loop().remove_reader(self._fd)
                return
            self._feed(data)
            if len(data) < PIPE_READ_BYTES:
                return

    def _feed(self, data: bytes) -> None:
        if self._bytes >= KEPT_BYTES_MAX:
            self._dropped += max(1, data.count(b"\n"))
            self._pending = b""
            return
        stamp = now_ms()
        data = self._pending + data
        at = 0
        while at < len(data):
            if data.startswith(FRAME, at):
                end = self._frame(data, at)
            else:
                end = self._line(data, at, stamp)
            if end < 0:
                break
            at = end
        self._pending = data[at:]

    def _frame(self, data: bytes, at: int) -> int:
        if len(data) - at < FRAME_HEAD.size:
            return -1
        _, size, stamp_us = FRAME_HEAD.unpack_from(data, at)
        start = at + FRAME_HEAD.size
        if size > EVENT_BYTES_MAX * 4:  # not one of ours: text after all
            return self._line(data, at, now_ms())
        if len(data) < start + size:
            return -1
        self._keep(stamp_us // 1000, data[start : start + size])
        return start + size

    def _line(self, data: bytes, at: int, stamp: int) -> int:
        end = data.find(b"\n", at)
        if end < 0:
            if len(data) - at < EVENT_BYTES_MAX:
                return -1
            self._keep(stamp, data[at : at + EVENT_BYTES_MAX])
            return at + EVENT_BYTES_MAX
        self._keep(stamp, data[at:end])
        return end + 1

    def _keep(self, stamp: int, text: bytes) -> None:
        if self._bytes + len(text) > KEPT_BYTES_MAX:
            self._dropped += 1
            self._bytes = KEPT_BYTES_MAX
            return
        self._bytes += len(text) + 32
        line = text[:EVENT_BYTES_MAX].decode("utf-8", "replace").rstrip("\n")
        self._lines.append((stamp, line))

    def take(self, now_too: bool = True) -> list[Line]:
        """Everything written until now (``now_too`` false: what has been read already); an
        unfinished last line counts as finished."""
        if now_too:
            self.drain()
        if self._pending and not self._pending.startswith(FRAME[:1]):
            self._keep(now_ms(), self._pending)
            self._pending = b""
        if self._dropped:
            text = f"[pileus] {self._dropped} further log events were dropped: too much output"
            self._lines.append((now_ms(), text))
        lines, self._lines, self._bytes, self._dropped = self._lines, [], 0, 0
        return lines

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._fd >= 0:
            self.drain()
            loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1


def billed_ms(duration_ms: float, init_ms: float) -> int:
    """AWS rounds up to the millisecond, and bills the init of a cold start too."""
    return max(1, math.ceil(duration_ms + init_ms - 1e-9))


class PlatformLog:
    """The START, END and REPORT lines of one version, as text or JSON."""

    def __init__(self, version: str, memory_mb: int, as_json: bool) -> None:
        self._version = version
        self._memory_mb = memory_mb
        self.start: Callable[[str], str] = self._start_json if as_json else self._start_text
        self.end: Callable[[str, str, float, int, int, float], list[str]] = (
            self._end_json if as_json else self._end_text
        )

    def _start_text(self, request_id: str) -> str:
        return f"START RequestId: {request_id} Version: {self._version}"

    def _end_text(
        self, request_id: str, status: str, duration: float, billed: int, used_mb: int, init: float
    ) -> list[str]:
        report = (
            f"REPORT RequestId: {request_id}\tDuration: {duration:.2f} ms\t"
            f"Billed Duration: {billed} ms\tMemory Size: {self._memory_mb} MB\t"
            f"Max Memory Used: {used_mb} MB\t"
        )
        if init:
            report += f"Init Duration: {init:.2f} ms\t"
        if status == "timeout":
            report += "Status: timeout"
        elif status == "failure":
            report += "Status: error\tError Type: Runtime.ExitError"
        return [f"END RequestId: {request_id}", report]

    def _start_json(self, request_id: str) -> str:
        record = {"requestId": request_id, "version": self._version}
        return self._event("platform.start", record)

    def _end_json(
        self, request_id: str, status: str, duration: float, billed: int, used_mb: int, init: float
    ) -> list[str]:
        metrics = {
            "durationMs": round(duration, 3),
            "billedDurationMs": billed,
            "memorySizeMB": self._memory_mb,
            "maxMemoryUsedMB": used_mb,
        }
        if init:
            metrics["initDurationMs"] = round(init, 3)
        record = {"requestId": request_id, "metrics": metrics, "status": status}
        return [self._event("platform.report", record)]

    @staticmethod
    def _event(kind: str, record: Mapping[str, object]) -> str:
        return json.dumps({"time": iso_time(), "type": kind, "record": record})


def iso_time() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.strftime("%Y-%m-%dT%H:%M:%S.") + f"{now.microsecond // 1000:03d}Z"
