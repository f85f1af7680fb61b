"""A power cut under the real embedded engine: its SQLite files, its blob files, their names.

Between engine and disk stands a shim that keeps, for every write and truncation since a file's
last sync, what was there before. "Power cut" copies the files in the middle of an operation and
takes back what was not synced: all of it, none, or sector by sector at random. Names are taken
back where their directory was not synced.
"""

from __future__ import annotations

import os
import random
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import apsw

from pileus.engine.embedded.blobs import Files

SECTOR = 512


class Undo(NamedTuple):
    """Before an operation: the file's size, and the bytes at ``offset``."""

    size: int
    offset: int
    before: bytes
    length: int


class Disk:
    """What was not synced yet, of every file; cuts the power before operation ``cut_at``.

    ``lies`` names the syncs that do nothing: ``wal``, ``db``, ``blob``, ``directory``."""

    def __init__(self, home: Path, copy: Path, seed: int, cut_at: int, lies: str = "") -> None:
        self.home = home
        self.copy = copy
        self.rng = random.Random(seed)
        self.lies = lies
        self.lock = threading.RLock()
        self.cut = False
        self.copied = False
        self.before_cut: Callable[[], None] = lambda: None
        self._left = cut_at
        self._undo: dict[str, list[Undo]] = {}
        self._unsynced_blobs: set[str] = set()
        self._unsynced_names: dict[str, set[str]] = {}

    def step(self) -> None:
        """Every operation passes here first, under the lock."""
        self._left -= 1
        if self._left == 0:
            self.cut_power()

    def cut_power(self) -> None:
        with self.lock:
            if self.cut:
                return
            self.cut = True
            self.before_cut()
            self._copy_database()
            self._copy_blobs()
            self.copied = True

    def wait_for_copy(self) -> None:
        """After ``cut`` was seen: whoever cuts, on another thread, may still be copying. Before
        that is done nobody may close the files: SQLite's last connection empties the write-ahead
        log and takes it away."""
        with self.lock:
            if self.cut and not self.copied:
                raise RuntimeError("the files of a power cut could not be copied")

    # -- SQLite's files ------------------------------------------------------------------------

    def note(self, path: str, undo: Undo) -> None:
        self._undo.setdefault(path, []).append(undo)

    def synced(self, path: str) -> None:
        kind = "wal" if path.endswith("-wal") else "db"
        if kind != self.lies:
            self._undo.pop(path, None)

    def _copy_database(self) -> None:
        self.copy.mkdir(parents=True)
        for name in ("state.db", "state.db-wal"):
            source = self.home / name
            if source.exists():
                target = self.copy / name
                shutil.copyfile(source, target)
                self._tear(target, self._undo.get(str(source), []))

    def _tear(self, target: Path, undos: list[Undo]) -> None:
        lost = self.rng.choice((1.0, 1.0, 0.0, 0.3, 0.7))
        with open(target, "rb+") as file:
            for undo in reversed(undos):
                if lost == 1.0:
                    file.seek(undo.offset)
                    file.write(undo.before)
                    file.truncate(undo.size)
                    continue
                for at in range(0, undo.length, SECTOR):
                    if self.rng.random() < lost:
                        sector = undo.before[at : at + SECTOR]
                        span = min(SECTOR, undo.length - at)
                        file.seek(undo.offset + at)
                        file.write(sector + bytes(span - len(sector)))

    # -- blobs ---------------------------------------------------------------------------------

    def blob_written(self, path: str) -> None:
        self._unsynced_blobs.add(path)

    def blob_synced(self, path: str) -> None:
        if self.lies != "blob":
            self._unsynced_blobs.discard(path)

    def renamed(self, source: str, target: str) -> None:
        if source in self._unsynced_blobs:
            self._unsynced_blobs.discard(source)
            self._unsynced_blobs.add(target)
        self._unsynced_names.setdefault(os.path.dirname(target), set()).add(target)

    def directory_synced(self, path: str) -> None:
        if self.lies != "directory":
            self._unsynced_names.pop(path, None)

    def _copy_blobs(self) -> None:
        lost_names = {n for names in self._unsynced_names.values() for n in names}
        for path in sorted((self.home / "blobs").glob("??/*")):
            if str(path) in lost_names and self.rng.random() < 0.7:
                continue
            data = path.read_bytes()
            if str(path) in self._unsynced_blobs:
                data = data[: self.rng.randint(0, max(0, len(data) - 1))]
            target = self.copy / "blobs" / path.parent.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(data)


class CutVfs(apsw.VFS):
    """The system's VFS, watched; or ``base``, which lies between it and the system's."""

    def __init__(self, name: str, disk: Disk, base: str = "") -> None:
        super().__init__(name, base)
        self._disk, self._base = disk, base

    def xOpen(self, name: Any, flags: list[int]) -> CutFile:
        return CutFile(self._disk, name, flags, self._base)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        with self._disk.lock:
            super().xDelete(filename, syncdir)


class CutFile(apsw.VFSFile):
    """One open file; what it overwrites is noted until it is synced."""

    def __init__(self, disk: Disk, name: Any, flags: list[int], base: str = "") -> None:
        super().__init__(base, name, flags)
        self._disk = disk
        self._path = name.filename() if isinstance(name, apsw.URIFilename) else str(name)
        # Read as it is: the page that a power cut tore is overwritten unread.
        self._fd = -1 if name is None else os.open(self._path, os.O_RDONLY)

    def xClose(self) -> None:
        super().xClose()
        if self._fd >= 0:
            os.close(self._fd)

    def _before(self, offset: int, length: int) -> Undo:
        if self._fd < 0:  # a scratch file: no copy of it is made
            return Undo(0, 0, b"", 0)
        return Undo(os.fstat(self._fd).st_size, offset, os.pread(self._fd, length, offset), length)

    def xWrite(self, data: bytes, offset: int) -> None:
        with self._disk.lock:
            self._disk.step()
            self._disk.note(self._path, self._before(offset, len(data)))
            super().xWrite(data, offset)

    def xTruncate(self, newsize: int) -> None:
        with self._disk.lock:
            self._disk.step()
            size = super().xFileSize()
            self._disk.note(self._path, self._before(newsize, max(0, size - newsize)))
            super().xTruncate(newsize)

    def xSync(self, flags: int) -> None:
        with self._disk.lock:
            self._disk.step()
            self._disk.synced(self._path)  # the host's own disk need not be waited for


class CutFiles(Files):
    """The file operations of blobs, watched."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._paths: dict[int, str] = {}

    def create(self, path: str) -> int:
        with self._disk.lock:
            self._disk.step()
            fd = super().create(path)
            self._paths[fd] = path
            self._disk.blob_written(path)
            return fd

    def sync(self, fd: int) -> None:
        with self._disk.lock:
            self._disk.step()
            self._disk.blob_synced(self._paths[fd])

    def close(self, fd: int) -> None:
        with self._disk.lock:
            self._paths.pop(fd)
            super().close(fd)

    def rename(self, source: str, target: str) -> None:
        with self._disk.lock:
            self._disk.step()
            super().rename(source, target)
            self._disk.renamed(source, target)

    def link(self, source: str, target: str) -> None:
        with self._disk.lock:
            self._disk.step()
            super().link(source, target)
            self._disk.renamed(source, target)
            for fd, path in self._paths.items():
                if path == source:
                    self._paths[fd] = target

    def unlink(self, path: str) -> None:
        with self._disk.lock:
            super().unlink(path)

    def sync_directory(self, path: str) -> None:
        with self._disk.lock:
            self._disk.step()
            self._disk.directory_synced(path)
