"""What the edge keeps: memory of this process over files shared by all, both bounded.

An entry carries the place in the log up to which invalidations were known when its fetch began:
an invalidation above that place which matches its path ends it, in every process and after any
restart. A lock per key lets one fetch serve all who wait, across processes too.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import os
import struct
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import orjson

from pileus.services.call import Headers
from pileus.services.cloudfront import rows
from pileus.state import keys
from pileus.state.store import Store

RAM_BYTES_MAX = 64 * 1024 * 1024
DISK_BYTES_MAX = 1024 * 1024 * 1024
ENTRY_BYTES_MAX = 16 * 1024 * 1024
LOCK_WAIT_S, LOCK_STEP_S = 30.0, 0.005
HEAD = struct.Struct("<I")


@dataclass(slots=True, eq=False)
class Entry:
    """One kept answer. Times are milliseconds since 1970. ``headers`` are the origin's, lower
    case, without those that belong to one exchange."""

    key: str
    distribution: str
    path: str
    sequence: int
    status: int
    headers: Headers
    body: bytes
    stored_ms: int
    fresh_until_ms: int
    stale_on_error_until_ms: int
    stale_while_asking_until_ms: int
    etag: str
    modified: str
    checked: int = -1  # generation of the invalidations it was last compared with
    packed: bytes | None = None  # gzip of the body, made at first need

    @property
    def size(self) -> int:
        return len(self.body) + 1024


class Invalidations:
    """The paths told to be forgotten, read again when a row is added."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._generation = -1
        self._known: dict[str, list[tuple[int, str, bool]]] = {}

    def current(self, distribution: str) -> int:
        """The newest invalidation's place in the log; 0 without any."""
        self._refresh()
        return max((version for version, _, _ in self._of(distribution)), default=0)

    def ended(self, entry: Entry) -> bool:
        """Was the entry invalidated after its fetch began?"""
        generation = self._store.generation(rows.INVALIDATIONS)
        if entry.checked == generation:
            return False
        self._refresh()
        for version, path, open_ended in self._of(entry.distribution):
            if version > entry.sequence and (
                entry.path.startswith(path)
                if open_ended
                else path in (entry.path, entry.path.partition("?")[0])
            ):
                return True
        entry.checked = generation
        return False

    def _refresh(self) -> None:
        generation = self._store.generation(rows.INVALIDATIONS)
        if generation != self._generation:
            self._generation, self._known = generation, {}

    def _of(self, distribution: str) -> list[tuple[int, str, bool]]:
        known = self._known.get(distribution)
        if known is None:
            prefix = keys.partition_prefix(rows.INVALIDATIONS, distribution)
            found = self._store.range(prefix, keys.after_prefix(prefix), 1_000_000)
            known = [
                (row.version, path.removesuffix("*"), path.endswith("*"))
                for row in found
                for path in orjson.loads(row.value)["paths"]
            ]
            self._known[distribution] = known
        return known


class Cache:
    """``find`` in memory, ``load`` from disk, ``keep`` in both. One per process."""

    def __init__(self, home: Path, ram_bytes: int = RAM_BYTES_MAX) -> None:
        self._root = home
        self._ram_max = ram_bytes
        self._ram: OrderedDict[str, Entry] = OrderedDict()
        self._ram_bytes = 0
        self._encode = msgspec.msgpack.Encoder().encode
        for name in ("objects", "locks"):
            (home / name).mkdir(parents=True, exist_ok=True, mode=0o700)

    @property
    def entries(self) -> OrderedDict[str, Entry]:
        """What is in memory, the longest unused first."""
        return self._ram

    def find(self, key: str) -> Entry | None:
        entry = self._ram.get(key)
        if entry is not None:
            self._ram.move_to_end(key)
        return entry

    async def load(self, key: str) -> Entry | None:
        """The entry on disk, put in memory; a damaged or absent file is no entry."""
        entry = await asyncio.to_thread(self._read, key)
        if entry is not None:
            self._remember(entry)
        return entry

    async def keep(self, entry: Entry) -> None:
        """Store in memory and on disk. Not durable on purpose: a cache may forget."""
        self._remember(entry)
        await asyncio.to_thread(self._write, entry)

    async def drop(self, entry: Entry) -> None:
        self._forget(entry.key)
        await asyncio.to_thread(self._path(entry.key).unlink, missing_ok=True)

    @contextlib.asynccontextmanager
    async def lock(self, key: str) -> AsyncIterator[None]:
        """Only one process of this machine fetches ``key`` at a time. A dead holder lets go."""
        name = self._root / "locks" / hashlib.sha256(key.encode()).hexdigest()[:2]
        fd = os.open(name, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        offset = int.from_bytes(hashlib.sha256(key.encode()).digest()[2:9], "big") >> 1
        try:
            waited = 0.0
            while not _try_lock(fd, offset):
                if waited > LOCK_WAIT_S:
                    break  # rather a second fetch than no answer
                await asyncio.sleep(LOCK_STEP_S)
                waited += LOCK_STEP_S
            yield
        finally:
            os.close(fd)

    def trim(self, bytes_max: int = DISK_BYTES_MAX) -> int:
        """Remove the longest unread files above ``bytes_max``; the bytes left. Blocking."""
        found = []
        for path in (self._root / "objects").glob("*/*"):
            with contextlib.suppress(FileNotFoundError):
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        found.sort()
        total = sum(size for _, size, _ in found)
        for _, size, path in found:
            if total <= bytes_max:
                break
            path.unlink(missing_ok=True)
            total -= size
        return total

    def _remember(self, entry: Entry) -> None:
        self._forget(entry.key)
        self._ram[entry.key] = entry
        self._ram_bytes += entry.size
        while self._ram_bytes > self._ram_max and len(self._ram) > 1:
            _, old = self._ram.popitem(last=False)
            self._ram_bytes -= old.size

    def _forget(self, key: str) -> None:
        old = self._ram.pop(key, None)
        if old is not None:
            self._ram_bytes -= old.size

    def _path(self, key: str) -> Path:
        digest = hashlib.sha256(key.encode()).hexdigest()
        return self._root / "objects" / digest[:2] / digest

    def _write(self, e: Entry) -> None:
        path = self._path(e.key)
        head = self._encode(
            [
                e.key,
                e.distribution,
                e.path,
                e.sequence,
                e.status,
                e.headers,
                e.stored_ms,
                e.fresh_until_ms,
                e.stale_on_error_until_ms,
                e.stale_while_asking_until_ms,
                e.etag,
                e.modified,
                hashlib.blake2b(e.body, digest_size=16).digest(),
            ]
        )
        fresh = path.with_name(f"{path.name}.{os.getpid()}.{id(e)}")
        path.parent.mkdir(exist_ok=True, mode=0o700)
        try:
            with open(fresh, "wb") as file:
                file.write(HEAD.pack(len(head)) + head)
                file.write(e.body)
            os.replace(fresh, path)
        except OSError:  # a full disk must not cost the viewer the answer: memory has it
            fresh.unlink(missing_ok=True)

    def _read(self, key: str) -> Entry | None:
        path = self._path(key)
        try:
            data = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        try:
            (length,) = HEAD.unpack_from(data)
            told = msgspec.msgpack.decode(data[HEAD.size : HEAD.size + length])
            body = data[HEAD.size + length :]
            if told[0] != key or told[12] != hashlib.blake2b(body, digest_size=16).digest():
                return None
        except (struct.error, msgspec.DecodeError, IndexError):
            return None
        headers = [(n, v) for n, v in told[5]]
        name, distribution, asked, sequence, status = told[:5]
        stored, fresh, stale, asking, etag, modified = told[6:12]
        return Entry(
            *(name, distribution, asked, sequence, status, headers, body),
            *(stored, fresh, stale, asking, etag, modified),
        )


def _try_lock(fd: int, offset: int) -> bool:
    """An open-file-description lock on one byte: shared names do not collide, threads do not
    share it, and closing another descriptor of the file does not release it."""
    wish = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, offset, 1, 0)
    try:
        fcntl.fcntl(fd, 37, wish)  # F_OFD_SETLK
    except (BlockingIOError, PermissionError):
        return False
    return True
