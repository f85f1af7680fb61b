"""Nothing acknowledged is lost at a power cut; and the test notices when a sync is taken out."""

from __future__ import annotations

import asyncio
import hashlib
import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from pileus.engine.embedded.blobs import FileBlobs
from pileus.engine.embedded.log import EmbeddedLog
from pileus.state import entry, keys, pages, wal
from pileus.state.database import connect
from pileus.state.replica import SqliteReplica
from pileus.state.tx import Tx
from pileus.state.verify import verify
from tests.simulation.powercut import CutFiles, CutVfs, Disk

WRITERS = 6


def put(tx: Tx, args: list[bytes]) -> None:
    tx.put(*args)


RULES = {"cut.put": put}


@pytest.fixture
def memory() -> Iterator[Path]:
    """Files of the host's memory where there is such a place: the shim does not need its disk."""
    shm = Path("/dev/shm")
    path = Path(tempfile.mkdtemp(prefix="powercut-", dir=shm if shm.is_dir() else None))
    yield path
    shutil.rmtree(path)


class Trial:
    """Writers until the power goes; then what was acknowledged is looked for in the copy."""

    def __init__(self, home: Path, seed: int, lies: str = "") -> None:
        self.rng = random.Random(seed)
        self.home = home / f"{lies}{seed}"
        (self.home / "blobs").mkdir(parents=True)
        cut_at = self.rng.randint(50, 900)
        self.disk = Disk(self.home, self.home / "after", seed, cut_at, lies)
        self.disk.before_cut = self._remember
        self.acknowledged: dict[bytes, bytes] = {}
        self.kept: dict[bytes, bytes] = {}

    def _remember(self) -> None:
        self.kept = dict(self.acknowledged)

    async def run(self) -> None:
        name = f"cut-{self.home.name}"
        vfs = CutVfs(name, self.disk, pages.checked())
        connect(self.home / "state.db").close()  # its pages have checksums
        log = EmbeddedLog()
        blobs = FileBlobs(self.home / "blobs", CutFiles(self.disk))
        await log.start(SqliteReplica(self.home / "state.db", RULES, vfs=name))
        self.acknowledged.clear()
        await asyncio.gather(*(self._write(log, blobs, i) for i in range(WRITERS)))
        await log.stop()
        blobs.close()
        self.disk.cut_power()  # at the latest now
        vfs.unregister()

    async def _write(self, log: EmbeddedLog, blobs: FileBlobs, number: int) -> None:
        for i in range(60):
            if self.disk.cut:
                return
            value = self.rng.randbytes(self.rng.randint(10, 9000))
            key = keys.key("t", f"{number}-{i % 20}")
            if i % 4 == 3:
                digest = await blobs.put(value)
                key, value = keys.key("blobrefs", digest, b"owner"), b""
            data = entry.pack(0, "cut.put", i, b"", [key, value])
            self.acknowledged.pop(key, None)  # under way: the old value or the new
            await log.append(data)
            self.acknowledged[key] = value

    def check(self) -> None:
        after = self.home / "after"
        (after / "blobs").mkdir(exist_ok=True)
        assert pages.has_checksums(after / "state.db")
        state = SqliteReplica(after / "state.db", RULES)
        for key, value in self.kept.items():
            row = state.row(key)
            assert row is not None and row.value == value, "an acknowledged row is lost"
        state.close()
        for key in self.kept:
            table, digest, _ = keys.split(key)
            if table == "blobrefs":
                blob = after / "blobs" / digest.decode()[:2] / digest.decode()
                assert blob.exists(), "an acknowledged blob is lost"
                assert hashlib.sha256(blob.read_bytes()).hexdigest().encode() == digest
        report = verify(after, RULES)
        damage = [p for p in report.problems if not p.startswith("blob")]
        assert not damage, damage


def run_trial(home: Path, seed: int, lies: str = "") -> int:
    trial = Trial(home, seed, lies)
    asyncio.run(trial.run())
    trial.check()
    shutil.rmtree(trial.home)
    return len(trial.kept)


def test_nothing_acknowledged_is_lost(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "WAL_PAGES", 30)  # checkpoints in every trial
    kept = [run_trial(memory, seed) for seed in range(40)]
    assert sum(kept) > 1000


@pytest.mark.parametrize("sync", ["wal", "db", "blob", "directory"])
def test_a_sync_taken_out_is_noticed(
    sync: str, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wal, "WAL_PAGES", 30)
    noticed = 0
    for seed in range(40):
        try:
            run_trial(memory, seed, sync)
        except (AssertionError, apsw.Error, entry.Corrupt):
            noticed += 1
        if noticed >= 3:
            return
    raise AssertionError(f"power cuts without the sync of {sync} went unnoticed")
