"""Whether a part answers, asked of the part itself: a process that lives may still hang."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("pileus.console.probes")
SLOW_S, SILENT_S = 0.25, 1.5
ASK = "GET {} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
Probe = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Health:
    """``health``: alive, slow or down; ``since_ms``: as far back as anybody looked; ``answer_ms``:
    how long it took to answer, None when it did not."""

    health: str
    since_ms: int
    answer_ms: float | None


async def over_socket(path: Path, target: str) -> None:
    """Ask a program for ``target`` by HTTP on its Unix socket. ``OSError`` when it does not answer
    200."""
    await _ask(*await asyncio.open_unix_connection(str(path)), target)


async def over_port(where: tuple[str, int] | None, target: str) -> None:
    """The same of a program that listens at an address and a port; None: nobody knows where."""
    if where is None:
        raise OSError("it has not said where it listens")
    await _ask(*await asyncio.open_connection(*where), target)


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, target: str) -> None:
    try:
        writer.write(ASK.format(target).encode())
        told = await reader.read(64)
        if b" 200 " not in told[:16]:
            raise OSError(f"{target} was answered {told[:32]!r}")
    finally:
        writer.close()


async def measure(probe: Probe) -> tuple[str, float | None]:
    """(health, milliseconds)."""
    began = time.monotonic()
    try:
        async with asyncio.timeout(SILENT_S):
            await probe()
    except Exception:  # whatever it says, it is no answer
        return "down", None
    took = time.monotonic() - began
    return ("slow" if took > SLOW_S else "alive"), round(took * 1000, 1)


class Seen:
    """Since when each part is as it is: kept beside the sockets, so that every front process and
    the next one tell the same."""

    def __init__(self, run: Path) -> None:
        self._file = run / "health.json"

    def judge(self, found: dict[str, tuple[str, float | None, int]]) -> dict[str, Health]:
        """``found``: part → (health, milliseconds, when its process came or went, in ms)."""
        before = self._read()
        now_ms = int(time.time() * 1000)
        told: dict[str, Health] = {}
        for name, (health, answer_ms, changed_ms) in found.items():
            known = before.get(name)
            since = known["since_ms"] if known and known["health"] == health else 0
            if since < changed_ms:
                since = changed_ms if health in ("alive", "down") else now_ms
            told[name] = Health(health, since, answer_ms)
        self._write(told, before)
        return told

    def _read(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text()))
        except (OSError, ValueError, TypeError):
            return {}

    def _write(self, told: dict[str, Health], before: dict[str, Any]) -> None:
        kept = {name: asdict(h) | {"answer_ms": None} for name, h in told.items()}
        if kept == before:
            return
        new = self._file.with_suffix(f".{os.getpid()}")
        try:
            new.write_text(json.dumps(kept))
            new.rename(self._file)
        except OSError as e:  # a full disk must not hide how the parts are
            log.warning("since when parts are so cannot be kept: %s", e)
