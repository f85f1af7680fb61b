"""The S3 service over the simulated engine: days pass when a test says so."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pileus.config import Config
from pileus.engine.simulated.blobs import SimulatedBlobs
from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.errors import AwsError
from pileus.services import s3
from pileus.services.call import Parts
from pileus.services.s3.lifecycle_run import Lifecycle
from pileus.services.s3.locks import DAY_MS
from pileus.services.s3.room import Room
from pileus.services.vault import Vault
from tests.simulation.desk import Desk
from tests.simulation.store import SimulatedStore

BUCKET = "clocked"


class Clocked:
    """One bucket, the calls on it, and the chore that keeps its rules."""

    def __init__(self, **settings: Any) -> None:
        self.rng = random.Random(5)
        self.clock = SteppedClock(self.rng)
        self.store = SimulatedStore(self.clock, s3.RULES)
        self.desk = Desk(self.store, SimulatedBlobs(), self.clock)
        config = Config(home=Path("/nonexistent"), **settings)
        self._parts = Parts(
            self.store, self.desk.blobs, self.clock, config, self.desk.dispatch, background=False
        )
        self._parts.vault = Vault(bytes(32))
        self.chore = self.restarted()

    def restarted(self) -> Lifecycle:
        """The chore as a process that has just started has it."""
        self.chore = Lifecycle(self.room())
        return self.chore

    def room(self) -> Room:
        return Room(self._parts)

    async def begin(self, versioning: str = "", **more: Any) -> None:
        await self.store.begin(SimulatedFile(self.rng), self.rng)
        await self.bucket("CreateBucket", **more)
        if versioning:
            await self.versioning(versioning)

    async def versioning(self, state: str) -> None:
        await self.bucket("PutBucketVersioning", VersioningConfiguration={"Status": state})

    async def bucket(self, operation: str, **params: Any) -> Any:
        return await self.desk.bucket(operation, b"", Bucket=BUCKET, **params)

    async def object(
        self, operation: str, key: str, **told: Any
    ) -> tuple[int, dict[str, str], bytes]:
        return await self.desk.object(operation, b"", BUCKET, key, **told)

    async def put(self, key: str, body: bytes = b"x", **headers: str) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return (await self.object("PutObject", key, headers=named, body=body))[1]

    async def rules(self, *rules: dict[str, Any], **more: Any) -> None:
        named = [{"ID": f"r{n}", "Status": "Enabled", **r} for n, r in enumerate(rules)]
        for rule in named:
            rule.setdefault("Filter", {"Prefix": ""})
        told = {"LifecycleConfiguration": {"Rules": named}, **more}
        await self.bucket("PutBucketLifecycleConfiguration", **told)

    async def days(self, days: float) -> None:
        """Let time pass; the chore works at its end until nothing more is due."""
        self.clock.step(round(days * DAY_MS))
        await self.work()

    async def work(self) -> None:
        while await self.chore.turn():
            pass

    async def keys(self) -> list[str]:
        found = await self.bucket("ListObjectsV2")
        return [item["Key"] for item in found["Contents"]]

    async def versions(self) -> list[tuple[str, str]]:
        """(key, kind) of all that is there: ``current``, ``old``, ``marker``, ``old marker``."""
        told = await self.bucket("ListObjectVersions")
        named = [(v["Key"], "current" if v["IsLatest"] else "old") for v in told["Versions"]]
        marks = [
            (m["Key"], "marker" if m["IsLatest"] else "old marker") for m in told["DeleteMarkers"]
        ]
        return sorted(named + marks)

    async def classes(self) -> dict[str, str]:
        found = await self.bucket("ListObjectsV2")
        return {item["Key"]: item["StorageClass"] for item in found["Contents"]}

    def date(self, days: int) -> float:
        """Midnight ``days`` days ahead, in seconds as the door reads dates."""
        at = self.clock.now_ms() // DAY_MS + days
        return datetime.fromtimestamp(at * DAY_MS / 1000, UTC).timestamp()


def timed(work: Callable[[Clocked], Awaitable[None]], versioning: str = "") -> None:
    """Run a test's ``work`` against a new bucket."""

    async def run() -> None:
        made = Clocked()
        await made.begin(versioning)
        await work(made)
        await made.store.log.stop()

    asyncio.run(run())


async def refused(work: Awaitable[Any]) -> str:
    """The code of a call that must fail."""
    try:
        await work
    except AwsError as error:
        return error.code
    raise AssertionError("it was not refused")
