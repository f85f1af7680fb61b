"""A disk that is full or fails: writes are refused, nothing is half done, service returns."""

from __future__ import annotations

import asyncio
import errno
import os
import threading
from pathlib import Path
from typing import Any

import apsw
import pytest

from pileus.engine import Outcome
from pileus.engine.embedded.blobs import FileBlobs, Files
from pileus.engine.embedded.log import EmbeddedLog
from pileus.errors import Unavailable
from pileus.state import entry, keys
from pileus.state.replica import SqliteReplica
from pileus.state.tx import Tx
from tests.simulation.powercut import CutFile, CutVfs, Disk

K = keys.key("t", "p")


def append_byte(tx: Tx, args: int) -> bytes:
    value = (tx.get(K) or b"") + bytes([args])
    tx.put(K, value)
    return value


RULES = {"test.append": append_byte}


def made(n: int, request: bytes = b"") -> bytes:
    return entry.pack(0, "test.append", 1, request, n)


class FailingVfs(CutVfs):
    """``failing`` is 'full' (writes to the log fail), 'sync' (its syncs fail) or ''."""

    failing = ""

    def xOpen(self, name: Any, flags: list[int]) -> CutFile:
        return FailingFile(self, self._disk, name, flags)


class FailingFile(CutFile):
    def __init__(self, vfs: FailingVfs, disk: Disk, name: Any, flags: list[int]) -> None:
        super().__init__(disk, name, flags)
        self._vfs = vfs

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._vfs.failing == "full" and self._path.endswith("-wal"):
            raise apsw.FullError("the disk is full")
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        if self._vfs.failing == "sync":
            raise apsw.IOError("fsync failed")
        super().xSync(flags)


@pytest.mark.parametrize("kind", ["full", "sync"])
def test_a_commit_that_fails_is_refused_and_leaves_no_trace(kind: str, tmp_path: Path) -> None:
    async def body() -> None:
        disk = Disk(tmp_path, tmp_path / "after", 1, 1 << 60)
        name = f"failing-{tmp_path.name}-{kind}"
        vfs = FailingVfs(name, disk)
        log = EmbeddedLog()
        replica = SqliteReplica(tmp_path / "state.db", RULES, vfs=name)
        await log.start(replica)
        await log.append(made(1))
        vfs.failing = kind
        refused = await asyncio.gather(
            *(log.append(made(9)) for _ in range(5)), return_exceptions=True
        )
        assert all(isinstance(r, Unavailable) and r.hint for r in refused)
        assert ("no space" in str(refused[0])) == (kind == "full")
        with pytest.raises(Unavailable):
            await log.append(made(9, b"r" * 16))
        vfs.failing = ""
        outcome: Outcome = await log.append(made(2, b"r" * 16))
        assert outcome.sequence == 2
        assert entry.open_verdict(outcome.verdict) == b"\x01\x02"
        disk.cut_power()  # what was acknowledged after the failure is on the disk
        await log.stop()
        vfs.unregister()
        again = SqliteReplica(tmp_path / "after" / "state.db", RULES)
        assert again.applied == 2
        row = again.row(K)
        assert row is not None and row.value == b"\x01\x02"
        again.close()

    (tmp_path / "blobs").mkdir()
    asyncio.run(body())


class FullFiles(Files):
    full = False

    def write(self, fd: int, data: bytes | memoryview) -> None:
        if self.full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        super().write(fd, data)


def test_a_full_disk_refuses_blobs_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async def body() -> None:
        files = FullFiles()
        blobs = FileBlobs(tmp_path / "blobs", files)
        files.full = True
        with pytest.raises(Unavailable, match="no space"):
            await blobs.put(b"x")
        writer = blobs.create()
        with pytest.raises(Unavailable):
            await writer.write(b"x" * 3_000_000)
        assert os.listdir(tmp_path / "blobs" / "tmp") == [] and blobs.list() == []
        files.full = False
        assert blobs.size(await blobs.put(b"x")) == 1
        blobs.close()

    asyncio.run(body())


def test_two_blobs_of_the_same_bytes_at_once(tmp_path: Path) -> None:
    async def body() -> None:
        blobs = FileBlobs(tmp_path / "blobs")
        digests = await asyncio.gather(*(blobs.put(b"same" * 1000) for _ in range(20)))
        assert len(set(digests)) == 1 and blobs.list() == [digests[0]]
        assert not await blobs.delete(digests[0], idle_s=60)  # just written
        assert blobs.size(digests[0]) == 4000
        assert await blobs.delete(digests[0])
        blobs.close()

    asyncio.run(body())


class SlowFiles(Files):
    """A disk whose next write waits for ``go``."""

    def __init__(self) -> None:
        self.writing, self.go = threading.Event(), threading.Event()
        self.steps: list[str] = []

    def write(self, fd: int, data: bytes | memoryview) -> None:
        self.writing.set()
        assert self.go.wait(60)
        super().write(fd, data)
        self.steps.append("written")

    def close(self, fd: int) -> None:
        self.steps.append("closed")
        super().close(fd)


def test_a_write_given_up_keeps_its_descriptor_to_its_end(tmp_path: Path) -> None:
    """Its number would by then be another file's."""

    async def body() -> None:
        files = SlowFiles()
        blobs = FileBlobs(tmp_path / "blobs", files)
        writer = blobs.create()
        writing = asyncio.ensure_future(writer.write(b"x" * 2_000_000))
        await asyncio.to_thread(files.writing.wait, 60)
        writing.cancel()
        giving_up = asyncio.ensure_future(writer.abort())
        await asyncio.sleep(0.05)
        files.go.set()
        await giving_up
        assert files.steps == ["written", "closed"]
        with pytest.raises(ValueError, match="given up"):
            await writer.commit()
        assert os.listdir(tmp_path / "blobs" / "tmp") == [] and blobs.list() == []
        blobs.close()

    asyncio.run(body())
