"""One shard as a process sees it: where its entries go, and its committed rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pileus.engine import Clock, Outcome, WriterLog
from pileus.engine.embedded.front import FrontLog
from pileus.state import entry as codec
from pileus.state import versions
from pileus.state.database import STATE_FILE, Rows
from pileus.state.replica import SqliteReplica


def home_of(home: Path, number: int) -> Path:
    """Where a shard's files lie: shard 0's in the home itself."""
    return home / "shards" / str(number) if number else home


def homes(home: Path) -> list[Path]:
    """Where the shards' files lie, shard 0 first: as many as there are."""
    found = [home]
    while (home_of(home, len(found)) / STATE_FILE).exists():
        found.append(home_of(home, len(found)))
    return found


@dataclass
class Shard:
    """``replica`` is the writer's alone. ``map_now``: the generation of table ``tablets``."""

    number: int
    home: Path
    log: WriterLog | FrontLog
    rows: Rows
    clock: Clock
    replica: SqliteReplica | None
    map_now: Callable[[], int]
    close_rows: Callable[[], None] = field(default=lambda: None)
    _seen: int = -1
    _version: int = codec.RULES_VERSION  # of the rules in force here

    async def submit(self, rule: str, args: Any, request_id: bytes = b"", epoch: int = 0) -> bytes:
        """Append one entry to this shard's log; its packed verdict, once it is applied here."""
        return (await self.append(rule, args, request_id, epoch)).verdict

    async def append(
        self, rule: str, args: Any, request_id: bytes = b"", epoch: int = 0
    ) -> Outcome:
        """``submit``, with the entry's place in this shard's log."""
        if self.map_now() != self._seen:
            self._seen = self.map_now()
            self._version = versions.in_force(self.rows) or codec.RULES_VERSION
        now_ms = self.clock.now_ms()
        packed = codec.pack(epoch, rule, now_ms, request_id, args, self._version)
        return await self.log.append(packed)

    async def place(self, rule: str, args: Any) -> tuple[Any, int]:
        """``ask``, with the entry's place in this shard's log."""
        outcome = await self.append(rule, args)
        return codec.open_verdict(outcome.verdict), outcome.sequence

    async def ask(self, rule: str, args: Any) -> Any:
        """``submit``, its verdict opened."""
        return codec.open_verdict(await self.submit(rule, args))
