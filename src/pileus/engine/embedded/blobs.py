"""Blobs as files: ``home/blobs/ab/abcd…``, hashed while written, fsynced before they are named.

Work on files runs on a few threads, so that several fsyncs are under way at once and hashing
leaves the loop free. Every file operation goes through ``Files``: a simulated power cut takes its
place in tests.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from pileus.engine.embedded.log import unavailable
from pileus.errors import WrongDigest

T = TypeVar("T")
# A blob's bytes, or what makes them on a thread: they are used before that thread makes more.
Made = bytes | Callable[[], bytes | memoryview]
THREADS = 8
CHUNK_BYTES = 1024 * 1024
WRITE_BYTES = 512 * 1024
STALE_TMP_S = 24 * 3600
STALE_ASIDE_S = 30 * 24 * 3600


class Files:
    """The file operations blobs are made of, as the system offers them."""

    def create(self, path: str) -> int:
        return os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600)

    def write(self, fd: int, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while len(view):
            view = view[os.write(fd, view) :]

    def sync(self, fd: int) -> None:
        os.fsync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def rename(self, source: str, target: str) -> None:
        os.rename(source, target)

    def link(self, source: str, target: str) -> None:
        """A second name; ``FileExistsError`` where there is one already."""
        os.link(source, target)

    def unlink(self, path: str) -> None:
        os.unlink(path)

    def mkdir(self, path: str) -> None:
        os.makedirs(path, mode=0o700, exist_ok=True)

    def sync_directory(self, path: str) -> None:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class FileBlobs:
    """See ``pileus.engine.Blobs``. Several processes may use one directory."""

    def __init__(self, directory: Path, files: Files | None = None) -> None:
        self._directory = str(directory)
        self.files = files or Files()
        self._tmp = f"{self._directory}/tmp"
        self.threads = ThreadPoolExecutor(THREADS, thread_name_prefix="blobs")
        self._syncs = ThreadPoolExecutor(THREADS, thread_name_prefix="names")
        self._lay_out()
        self._lock_fd = os.open(
            f"{self._directory}/lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600
        )

    def _lay_out(self) -> None:
        if os.path.isdir(f"{self._directory}/ff"):
            return
        self.files.mkdir(self._tmp)
        for i in range(256):  # "ff" is made last: it says that the others are there
            self.files.mkdir(f"{self._directory}/{i:02x}")
        self.files.sync_directory(self._directory)
        self.files.sync_directory(os.path.dirname(self._directory))

    def path(self, digest: str) -> str:
        """Where the blob lies; ``FileNotFoundError`` for what is no digest."""
        if len(digest) != 64 or not digest.isalnum():
            raise FileNotFoundError(digest)
        return f"{self._directory}/{digest[:2]}/{digest}"

    def create(self, *, hashed: bool = True) -> FileBlobWriter:
        return FileBlobWriter(self, self._fresh(), hashed)

    def _fresh(self) -> str:
        return f"{self._tmp}/{os.getpid()}-{secrets.token_hex(12)}"

    async def put(self, data: Made, check: Callable[[], None] | None = None) -> str:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self.threads, self._put, data, check)
        except OSError as e:
            raise unavailable(e) from e

    def _put(self, data: Made, check: Callable[[], None] | None) -> str:
        """A whole blob in one step. It has its name before it is synced, so that its sync and the
        directory's are one wait: nobody knows that name yet, and no other blob's is taken."""
        body = data() if callable(data) else data
        digest = hashlib.sha256(body).hexdigest()
        tmp, target = self._fresh(), self.path(digest)
        fd = self.files.create(tmp)
        try:
            self.files.write(fd, body)
            if check is not None:
                check()
            self.files.link(tmp, target)
        except FileExistsError:  # it may be needed: it stays whole until this one is synced
            self.publish(tmp, fd, digest)
            return digest
        except BaseException:
            self.files.close(fd)
            self.files.unlink(tmp)
            raise
        try:
            named = self._syncs.submit(self.files.sync_directory, os.path.dirname(target))
            self.files.sync(fd)
            named.result()
        finally:
            self.files.close(fd)
            self.files.unlink(tmp)
        return digest

    def open(self, digest: str) -> int:
        return os.open(self.path(digest), os.O_RDONLY | os.O_CLOEXEC)

    def size(self, digest: str) -> int:
        return os.stat(self.path(digest)).st_size

    async def read(self, digest: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]:
        loop = asyncio.get_running_loop()
        fd = self.open(digest)
        try:
            left = os.fstat(fd).st_size - offset if length < 0 else length
            while left > 0:
                chunk = await loop.run_in_executor(
                    self.threads, os.pread, fd, min(left, CHUNK_BYTES), offset
                )
                if not chunk:
                    return
                offset += len(chunk)
                left -= len(chunk)
                yield chunk
        finally:
            os.close(fd)

    async def delete(self, digest: str, idle_s: float = 0) -> bool:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.threads, self._delete, self.path(digest), idle_s)

    def _delete(self, path: str, idle_s: float) -> bool:
        with self._locked(fcntl.LOCK_EX):
            try:
                if idle_s and time.time() - os.stat(path).st_mtime < idle_s:
                    return False
                self.files.unlink(path)
            except FileNotFoundError:
                return True
        return True

    def some(self, after: str, limit: int) -> list[str]:
        """At most ``limit`` digests above ``after``, in order."""
        found: list[str] = []
        for i in range(int(after[:2] or "0", 16), 256):
            names = os.listdir(f"{self._directory}/{i:02x}")
            found += sorted(n for n in names if len(n) == 64 and n > after)
            if len(found) >= limit:
                break
        return found[:limit]

    def list(self) -> list[str]:
        found: list[str] = []
        for i in range(256):
            found += (n for n in os.listdir(f"{self._directory}/{i:02x}") if len(n) == 64)
        return found

    async def fetch(self, digest: str) -> None:
        """There is nowhere else to look."""
        self.size(digest)

    async def mend(self, digest: str) -> bool:
        """There is no other copy."""
        return False

    def matches(self, digest: str, pause: Callable[[int], None] | None = None) -> bool:
        """Whether the blob's bytes hash to its name, read from the disk piece by piece; ``pause``
        is told each piece's size. ``FileNotFoundError`` when absent."""
        found = hashlib.sha256()
        fd = self.open(digest)
        try:
            while piece := os.read(fd, CHUNK_BYTES):
                found.update(piece)
                if pause is not None:
                    pause(len(piece))
        finally:
            os.close(fd)
        return found.hexdigest() == digest

    def set_aside(self, digest: str) -> None:
        """Take a damaged blob's name away; its bytes stay in ``damaged`` for who wants to look."""
        aside = f"{self._directory}/damaged"
        self.files.mkdir(aside)
        path = self.path(digest)
        with self._locked(fcntl.LOCK_EX):
            self.files.rename(path, f"{aside}/{digest}")
        os.utime(f"{aside}/{digest}")  # when it was set aside
        self.files.sync_directory(os.path.dirname(path))

    def sweep(self) -> int:
        """Remove what uploads that died left behind a day ago, and what was set aside a month ago;
        answers how many."""
        aside = f"{self._directory}/damaged"
        count = _remove_older(self._tmp, STALE_TMP_S)
        return count + (_remove_older(aside, STALE_ASIDE_S) if os.path.isdir(aside) else 0)

    def close(self) -> None:
        self.threads.shutdown()
        self._syncs.shutdown()
        os.close(self._lock_fd)

    @contextlib.contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        """Between naming a blob and collecting it: a flock of its own open file, so that threads
        exclude each other like processes."""
        fd = os.open(f"{self._directory}/lock", os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(fd, how)
            yield
        finally:
            os.close(fd)

    def publish(self, tmp: str, fd: int, digest: str) -> None:
        """Make a written file durable under its name."""
        target = self.path(digest)
        self.files.sync(fd)
        self.files.close(fd)
        with self._locked(fcntl.LOCK_SH):
            # Also over a blob that is there: the new file's time keeps the collector away.
            self.files.rename(tmp, target)
        self.files.sync_directory(os.path.dirname(target))


def made(make: Callable[[], bytes | memoryview]) -> bytes:
    """Bytes that outlast the thread's next."""
    return bytes(make())


def _remove_older(directory: str, age_s: float) -> int:
    count = 0
    for name in os.listdir(directory):
        path = f"{directory}/{name}"
        with contextlib.suppress(FileNotFoundError):
            if time.time() - os.stat(path).st_mtime > age_s:
                os.unlink(path)
                count += 1
    return count


class FileBlobWriter:
    """One blob being written. ``write`` returns when the bytes are with the system; chunks are
    gathered, so that small ones cost no thread hop each.

    A caller that is cancelled leaves its step running: the lock keeps ``abort`` from closing the
    descriptor under it, which another file may have by the next write."""

    def __init__(self, blobs: FileBlobs, tmp: str, hashed: bool) -> None:
        self.size = 0
        self._blobs = blobs
        self._tmp = tmp
        self.token = tmp[-24:]  # at random, its own
        self._fd = -1
        self._hash = hashlib.sha256() if hashed else None
        self._sealed = ""
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._step = threading.Lock()
        self._over = False

    async def write(self, chunk: bytes) -> None:
        self._gathered.append(chunk)
        self._gathered_bytes += len(chunk)
        self.size += len(chunk)
        if self._gathered_bytes >= WRITE_BYTES:
            await self._on_thread(self._drain)

    async def seal(self, digest: str = "") -> str:
        """All is written: the name it will have at ``commit``. ``WrongDigest`` as there."""
        return await self._on_thread(self._seal, digest)

    async def commit(self, digest: str = "") -> str:
        return await self._on_thread(self._finish, digest)

    async def abort(self) -> None:
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._blobs.threads, self._alone, self._discard)

    async def _on_thread(self, step: Callable[..., T], *args: Any) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._blobs.threads, self._alone, step, *args)
        except OSError as e:
            await self.abort()
            raise unavailable(e) from e

    def _alone(self, step: Callable[..., T], *args: Any) -> T:
        with self._step:
            return step(*args)

    def _drain(self) -> None:
        if self._over:
            return
        if self._fd < 0:
            self._fd = self._blobs.files.create(self._tmp)
        gathered, self._gathered, self._gathered_bytes = self._gathered, [], 0
        for chunk in gathered:
            if self._hash is not None:
                self._hash.update(chunk)
            self._blobs.files.write(self._fd, chunk)

    def _seal(self, digest: str) -> str:
        if self._over:
            raise ValueError("the blob was given up")
        if not self._sealed:
            self._drain()
            computed = self._hash.hexdigest() if self._hash is not None else digest
            if not computed or (digest and digest != computed):
                self._discard()
                raise WrongDigest(computed, digest)
            self._sealed = computed
        return self._sealed

    def _finish(self, digest: str) -> str:
        computed = self._seal(digest)
        fd, self._fd = self._fd, -1
        self._blobs.publish(self._tmp, fd, computed)
        return computed

    def _discard(self) -> None:
        self._over = True
        self._gathered = []
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            self._blobs.files.close(fd)
        with contextlib.suppress(FileNotFoundError):
            self._blobs.files.unlink(self._tmp)
