"""Every engine, opened the same way, for the contract suite."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

from pileus.engine import Blobs, Clock, Log
from pileus.engine.cluster.log import ClusterLog, LogSettings
from pileus.engine.cluster.nats import NatsNode
from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.clock import SystemClock
from pileus.engine.embedded.log import EmbeddedLog
from pileus.engine.simulated.blobs import SimulatedBlobs
from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.engine.simulated.log import SimulatedLog
from pileus.state.replica import SqliteReplica
from tests.nodes.rig import Nodes


class Embedded:
    """SQLite and files in a directory."""

    def __init__(self, home: Path) -> None:
        self._home = home

    async def open(self, rules: dict[str, Any]) -> None:
        self.replica = SqliteReplica(self._home / "state.db", rules)
        self.log: Log = EmbeddedLog()
        self._blobs = FileBlobs(self._home / "blobs")
        self.blobs: Blobs = self._blobs
        self.clock: Clock = SystemClock()
        await self.log.start(self.replica)

    async def close(self) -> None:
        await self.log.stop()
        self._blobs.close()


class Simulated:
    """Memory; the state file is lost at each close and rebuilt from the log."""

    def __init__(self, home: Path) -> None:
        self._rng = random.Random(7)
        self._file = SimulatedFile(self._rng)
        self._blobs = SimulatedBlobs()

    async def open(self, rules: dict[str, Any]) -> None:
        self.replica = SqliteReplica(":memory:", rules)
        self.log: Log = SimulatedLog(self._file, self._rng)
        self.blobs: Blobs = self._blobs
        self.clock: Clock = SteppedClock(self._rng)
        await self.log.start(self.replica)

    async def close(self) -> None:
        await self.log.stop()


class Cluster:
    """JetStream on one real server (one copy, every write synced), blobs on three nodes of this
    process over their doors. Every engine made has a shard, and so a stream, of its own."""

    def __init__(self, home: Path, server: NatsNode, shard: int) -> None:
        self._home = home
        self._settings = LogSettings(
            (server.address,), server.user, server.password, server.tls, shard=shard, found=1
        )

    async def open(self, rules: dict[str, Any]) -> None:
        self.replica = SqliteReplica(self._home / "state.db", rules, synchronous="NORMAL")
        self.log: Log = ClusterLog(self._settings)
        self._nodes = Nodes(self._home, 3)
        first, *_ = await self._nodes.__aenter__()
        self.blobs: Blobs = first.blobs
        self.clock: Clock = SystemClock()
        await self.log.start(self.replica)

    async def close(self) -> None:
        await self.log.stop()
        await self._nodes.__aexit__()


ENGINES = {"embedded": Embedded, "simulated": Simulated}
