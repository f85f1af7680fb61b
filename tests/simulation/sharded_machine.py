"""A machine whose DynamoDB items lie in other shards than their tables' descriptions: nearly every
write is a transaction across shards. No rule was written for that."""

from __future__ import annotations

import asyncio
import random

from pileus.engine.simulated.blobs import SimulatedBlobs
from pileus.engine.simulated.disk import SimulatedFile
from tests.simulation.machines import RULES, Inline, Life, Machine
from tests.simulation.shards import SHARDS, SimulatedShards

LAYOUT = [(b"", 0), (b"d:", 1), (b"d:8", 2), (b"d;", 0)]


class ShardedMachine(Machine):
    """Over simulated logs and blobs. ``crash`` may come between any two steps."""

    def __init__(self, rng: random.Random) -> None:
        super().__init__(rng)
        self._files = [SimulatedFile(rng, sync_failure=0.005) for _ in range(SHARDS)]
        self._blobs = SimulatedBlobs()

    async def start(self) -> None:
        asyncio.get_running_loop().set_default_executor(Inline())
        store = SimulatedShards(self._files, self.clock, RULES, LAYOUT)
        await store.begin(self.rng)
        died: list[bool] = []
        self.life = Life(store, self._blobs, self.clock, lambda: bool(died))
        self._died, self._store = died, store

    async def crash(self) -> None:
        life = self.life
        self._died.append(True)
        self._store.crash()
        await self.revive(life)

    async def stop(self) -> None:
        for shard in self._store.shards:
            await shard.log.stop()
