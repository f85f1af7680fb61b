"""A node under simulation: a log file that tears, a state file that may stand behind it."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.engine.simulated.log import SimulatedLog
from pileus.errors import AwsError, Unavailable
from pileus.state import entry, keys
from pileus.state.replica import SqliteReplica
from pileus.state.tx import Tx

REGISTER = keys.key("register", "r")


def counter_key(name: str) -> bytes:
    return keys.key("counter", name)


def add(tx: Tx, args: list[Any]) -> int:
    """Add to a counter and note who did: an effect that must happen exactly once."""
    name, by = args
    value = int(tx.get(counter_key(name)) or b"0") + by
    tx.put(counter_key(name), str(value).encode())
    tx.change("added", tx.request_id)
    return value


def swap(tx: Tx, args: list[bytes]) -> bytes:
    """Compare and swap one register; the loser learns its value."""
    old, new = args
    now = tx.get(REGISTER) or b""
    if now != old:
        raise AwsError("ConditionalCheckFailed", "changed", 400, fields={"Value": now})
    tx.put(REGISTER, new)
    return new


def last_of(tx: Tx, args: int) -> list[bytes]:
    """Read a range in an entry and shorten it: exercises ranges beside held writes."""
    prefix = keys.partition_prefix("changes", "added")
    rows = tx.range(prefix, keys.after_prefix(prefix), args, reverse=True)
    return [r.key for r in rows]


RULES = {"sim.add": add, "sim.swap": swap, "sim.last": last_of}


class Node:
    """Runs a log and a replica until ``crash``; ``start`` brings them back."""

    def __init__(self, rng: random.Random, *, sync: bool = True) -> None:
        self.rng = rng
        self.clock = SteppedClock(rng)
        self._file = SimulatedFile(rng, sync_failure=0.03)
        self._sync = sync
        self._saved: list[bytes] = []
        self.crashes = 0

    async def start(self) -> None:
        self.replica = SqliteReplica(":memory:", RULES, journal=False)
        self._restore()
        self.log = SimulatedLog(self._file, self.rng, sync=self._sync)
        await self.log.start(self.replica)

    def save(self) -> None:
        """Let the state file reach the disk as it stands: a crash may come back to it."""
        if self.replica.applied:
            self._saved.append(self.replica.image())

    def _restore(self) -> None:
        """Stand anywhere behind the log: at the beginning, or at any state that was saved."""
        if self._saved and self.rng.random() < 0.7:
            at = self.rng.randrange(len(self._saved))
            del self._saved[at + 1 :]
            self.replica.restore_image(self._saved[at])

    async def crash(self) -> None:
        self.crashes += 1
        self.log.crash()
        await asyncio.sleep(0)
        self.replica.close()
        self.clock.step(self.rng.randint(1, 2000))
        await self.start()

    async def call(self, rule: str, args: Any, request_id: bytes) -> Any:
        """Submit as an SDK does: the same request again until there is a verdict."""
        while True:
            data = entry.pack(0, rule, self.clock.now_ms(), request_id, args)
            try:
                outcome = await self.log.append(data)
            except Unavailable:
                await asyncio.sleep(0)
                continue
            return entry.open_verdict(outcome.verdict)
