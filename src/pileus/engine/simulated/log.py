"""A log in memory: group commit, torn tails, failing syncs and crashes, all from a seed.

The log is apart from the state file here, as in a cluster: a replica may stand behind it and
catches up by replay.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from zlib import crc32

from pileus.engine import LogEntry, Outcome, Replica
from pileus.engine.simulated.disk import SimulatedFile
from pileus.errors import Unavailable

HEAD = 16  # length, checksum, sequence number
TURNS_MAX = 4


def record(sequence: int, entry: bytes) -> bytes:
    head = len(entry).to_bytes(4, "little") + sequence.to_bytes(8, "little")
    return head + crc32(head + entry).to_bytes(4, "little") + entry


def scan(content: bytes | bytearray, base: int = 0) -> tuple[list[LogEntry], int]:
    """The entries of a log file and where its good part ends."""
    found: list[LogEntry] = []
    at = 0
    while len(content) - at >= HEAD:
        size = int.from_bytes(content[at : at + 4], "little")
        head, entry = content[at : at + 12], bytes(content[at + HEAD : at + HEAD + size])
        sequence = int.from_bytes(content[at + 4 : at + 12], "little")
        told = int.from_bytes(content[at + 12 : at + HEAD], "little")
        follows = not found or sequence == found[-1].sequence + 1
        if len(entry) < size or crc32(bytes(head) + entry) != told or not follows:
            break
        if not size and not sequence:
            break  # zeros: a lost sector
        found.append(LogEntry(sequence, entry))
        at += HEAD + size
    return found, at


class SimulatedLog:
    """See ``pileus.engine.Log``. ``sync=False`` breaks its promise on purpose: a test of tests."""

    def __init__(self, file: SimulatedFile, rng: random.Random, *, sync: bool = True) -> None:
        self._file = file
        self._rng = rng
        self._sync = sync
        self._waiting: list[tuple[bytes, asyncio.Future[Outcome]]] = []
        self._flusher: asyncio.Task[None] | None = None
        self._down = True  # until it has started

    async def start(self, replica: Replica) -> None:
        """Cut a torn tail, then bring ``replica`` up to the log's end."""
        entries, end = scan(self._file.content)
        self._file.truncate(end)
        self._good = end
        self._replica = replica
        last = entries[-1].sequence if entries else 0
        if last < replica.applied:
            raise Unavailable(
                f"the log ends at {last}, below the state's {replica.applied}",
                "the log was lost: restore from a backup",
            )
        self._next = last + 1
        behind = [e for e in entries if e.sequence > replica.applied]
        while behind:
            size = self._rng.randint(1, 50)
            replica.apply_group(behind[0].sequence, [e.data for e in behind[:size]])
            behind = behind[size:]
        self._down = False

    def append(self, entry: bytes) -> Awaitable[Outcome]:
        if self._down:
            raise Unavailable("the node is down", "try again")
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append((entry, future))
        if self._flusher is None:
            self._flusher = asyncio.ensure_future(self._flush())
        return future

    async def _flush(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            first = self._next
            for i, (entry, _) in enumerate(group):
                self._file.write(record(first + i, entry))
            await self._pause(group)
            if self._down:
                return
            try:
                if self._sync:
                    self._file.sync()
            except Unavailable as e:
                # Never synced again as if nothing had been: the tail is cut off and forgotten.
                self._file.truncate(self._good)
                _fail(group, e)
                continue
            self._good = len(self._file.content)
            self._next = first + len(group)
            try:
                verdicts = self._replica.apply_group(first, [entry for entry, _ in group])
            except Exception as e:  # the node stops, and its callers learn why
                self._down = True
                _fail(group + self._waiting, e)
                return
            await self._pause(group)
            if self._down:
                return
            for i, ((_, future), verdict) in enumerate(zip(group, verdicts, strict=True)):
                if not future.done():
                    future.set_result(Outcome(first + i, verdict))
        self._flusher = None

    async def _pause(self, group: list[tuple[bytes, asyncio.Future[Outcome]]]) -> None:
        for _ in range(self._rng.randint(0, TURNS_MAX)):
            await asyncio.sleep(0)
        if self._down:
            _fail(group, Unavailable("the node crashed", "try again"))

    def crash(self) -> None:
        """The power goes: nobody is answered, the file tears."""
        self._down = True
        self._file.crash()
        _fail(self._waiting, Unavailable("the node crashed", "try again"))
        self._waiting = []

    async def barrier(self) -> int:
        return self._replica.applied

    async def read(self, after: int, limit: int = 1000) -> list[LogEntry]:
        entries, _ = scan(self._file.content[: self._good])
        return [e for e in entries if e.sequence > after][:limit]

    async def trim(self, below: int) -> None:
        entries, end = scan(self._file.content)
        kept = b"".join(record(*e) for e in entries if e.sequence >= below or e is entries[-1])
        self._file.truncate(0)
        self._file.write(kept + bytes(self._file.content[end:]))
        self._file.sync()
        self._good = len(kept)

    async def stop(self) -> None:
        if self._flusher is not None:
            await self._flusher
        self._down = True
        self._replica.close()


def _fail(group: list[tuple[bytes, asyncio.Future[Outcome]]], error: Exception) -> None:
    for _, future in group:
        if not future.done():
            future.set_exception(error)
