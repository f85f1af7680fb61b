"""A machine that runs the real services over an engine, crashes, and comes back.

``call`` behaves as an SDK: it sends the same request, with the same retry id, until a machine that
is still up gives a verdict. What a machine said in the moment of its death was not heard.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import random
import shutil
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.log import EmbeddedLog
from pileus.engine.simulated.blobs import SimulatedBlobs
from pileus.engine.simulated.clock import SteppedClock
from pileus.engine.simulated.disk import SimulatedFile
from pileus.errors import Unavailable
from pileus.services import dynamodb, s3
from pileus.state import pages
from pileus.state.database import STATE_FILE, connect
from pileus.state.replica import SqliteReplica
from pileus.state.store import Store
from tests.simulation.desk import Desk
from tests.simulation.powercut import CutFiles, CutVfs, Disk
from tests.simulation.store import SimulatedStore

RULES = {**dynamodb.RULES, **s3.RULES}
LIVES_MAX = 60
TRIES_MAX = 500


class Inline(concurrent.futures.ThreadPoolExecutor):
    """Runs at once what is meant for a thread: a seed then repeats exactly."""

    def submit(self, fn: Any, /, *args: Any, **named: Any) -> concurrent.futures.Future[Any]:
        future: concurrent.futures.Future[Any] = concurrent.futures.Future()
        try:
            future.set_result(fn(*args, **named))
        except BaseException as e:
            future.set_exception(e)
        return future


class Life:
    """The services from one start to the next crash."""

    def __init__(self, store: Store, blobs: Any, clock: Any, dead: Callable[[], bool]) -> None:
        self.store = store
        self.desk = Desk(store, blobs, clock)
        self.dead = dead


class Machine:
    """What both kinds share: a life, and calls that outlive it."""

    life: Life

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.clock = SteppedClock(rng)
        self.crashes = 0
        self._reviving = asyncio.Lock()

    async def start(self) -> None:
        raise NotImplementedError

    async def crash(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    async def abandon(self) -> None:
        """After a failure: no thread of the last life outlives the loop."""

    async def revive(self, life: Life) -> None:
        """Start anew after ``life``, once."""
        async with self._reviving:
            if self.life is life:
                self.crashes += 1
                self.clock.step(self.rng.randint(1, 2000))
                await self.start()

    async def call(self, work: Callable[[Desk, bytes], Awaitable[Any]]) -> Any:
        """``work(desk, retry id)`` until a living machine has answered it."""
        request_id = self.rng.randbytes(16)
        for _ in range(TRIES_MAX):
            life = self.life
            try:
                answer = await work(life.desk, request_id)
            except Unavailable:
                if not life.dead():
                    await asyncio.sleep(0)
                    continue
            except Exception:
                if not life.dead():
                    raise
            else:
                if not life.dead():
                    return answer
            await self.revive(life)
        raise TimeoutError(f"no verdict after {TRIES_MAX} tries")


class SimulatedMachine(Machine):
    """Over the simulated log and blobs. ``crash`` may come between any two steps."""

    def __init__(self, rng: random.Random, *, sync: bool = True) -> None:
        super().__init__(rng)
        self._file = SimulatedFile(rng, sync_failure=0.02)
        self._blobs = SimulatedBlobs()
        self._sync = sync

    async def start(self) -> None:
        asyncio.get_running_loop().set_default_executor(Inline())
        store = SimulatedStore(self.clock, RULES)
        await store.begin(self._file, self.rng, sync=self._sync)
        died: list[bool] = []
        self.life = Life(store, self._blobs, self.clock, lambda: bool(died))
        self._died = died

    async def crash(self) -> None:
        life = self.life
        self._died.append(True)
        life.store.log.crash()  # type: ignore[union-attr]
        await self.revive(life)

    async def stop(self) -> None:
        await self.life.store.log.stop()


def _lay_out(blobs: Path) -> None:
    """The directories of blobs, which the cut did not copy: they were synced when they were
    made."""
    for name in ("tmp", *(f"{i:02x}" for i in range(256))):
        (blobs / name).mkdir(parents=True, exist_ok=True)


class EmbeddedMachine(Machine):
    """Over SQLite and files. The power goes before a file operation chosen by the seed; what was
    not synced is torn."""

    def __init__(self, rng: random.Random, home: Path, lies: str = "") -> None:
        super().__init__(rng)
        self._home = home
        self._lies = lies
        self._number = 0
        self._promised = 0, b""  # the last entry that could be answered: its number, running hash
        (home / "0").mkdir(parents=True)

    async def start(self) -> None:
        if self._number:
            await self._bury()
        name = f"{self._home.name}-{self._number}"
        here, after = self._home / str(self._number), self._home / str(self._number + 1)
        _lay_out(here / "blobs")
        left = self.rng.randint(20, 250) if self._number < LIVES_MAX else 10**9
        self._disk = Disk(here, after, self.rng.randrange(2**32), left, self._lies)
        if not self._number:
            connect(here / STATE_FILE).close()  # its pages have checksums
        self._vfs = CutVfs(name, self._disk, pages.checked())
        store = Store(here, self.clock)
        store.replica = SqliteReplica(here / STATE_FILE, RULES, vfs=name)
        store.log = EmbeddedLog(functools.partial(self._committed, store, self._disk))
        store._loop = asyncio.get_running_loop()
        await store.log.start(store.replica)
        store._read_from(here / STATE_FILE)
        self._file_blobs = FileBlobs(here / "blobs", CutFiles(self._disk))
        self._number += 1
        disk = self._disk
        self.life = Life(store, self._file_blobs, self.clock, lambda: disk.cut)
        self._need_promised(store)

    def _committed(self, store: Store, disk: Disk, replica: SqliteReplica) -> None:
        """On the writer thread, before anyone is answered."""
        with disk.lock:
            if not disk.cut:
                self._promised = replica.applied, replica.chain
        store._committed(replica)

    def _need_promised(self, store: Store) -> None:
        """What the power cut left ends with the last entry that could be answered, or later."""
        number, chain = self._promised
        found = store._connection.execute("SELECT chain FROM log WHERE last = ?", (number,)).get
        if number and found != chain:
            raise AssertionError(
                f"entry {number} could be answered before power cut {self.crashes}, the state after"
                f" it ends at {store.replica.applied}"
            )

    async def _bury(self) -> None:
        """Let the old life's threads end; its files are of no interest any more."""
        store = self.life.store
        self._disk.wait_for_copy()
        await store.log.stop()
        store._connection.close()
        store._generations.close()
        self._file_blobs.close()
        self._vfs.unregister()
        shutil.rmtree(self._home / str(self._number - 1))

    async def abandon(self) -> None:
        if self._number:
            await self.life.store.log.stop()

    async def crash(self) -> None:
        """Now, between two file operations."""
        life = self.life
        self._disk.cut_power()
        await self.revive(life)

    async def stop(self) -> None:
        await self._bury()
