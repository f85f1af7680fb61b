"""Where bytes become durable. An engine supplies three things and nothing else: Log, Blobs,
Clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, NamedTuple, Protocol


class Outcome(NamedTuple):
    """What became of one entry: its place in the log and the verdict ``apply`` reached."""

    sequence: int
    result: Any


class LogEntry(NamedTuple):
    sequence: int
    data: bytes


class Replica(Protocol):
    """The state machine a log drives. ``applied`` is the last sequence number whose effects are in
    the state file."""

    @property
    def applied(self) -> int: ...

    def apply_group(
        self, first: int, entries: Sequence[bytes], journal: Callable[[Any], None] | None = None
    ) -> list[Any]:
        """Apply ``entries`` (numbers ``first``, ``first+1``, …) in one durable transaction, which
        also runs
        ``journal(connection)`` where the log lives in the same file. Answers one verdict per
        entry."""
        ...


class Log(Protocol):
    """One shard's ordered log. ``append`` answers when the entry is durable *and* applied on this
    node."""

    async def start(self, replica: Replica) -> None: ...
    def append(self, entry: bytes) -> Awaitable[Outcome]: ...
    async def barrier(self) -> int:
        """A sequence number, already applied here, not below anything acknowledged before the
        call."""
        ...

    def read(self, after: int, limit: int = 1000) -> list[LogEntry]: ...
    async def trim(self, below: int) -> None: ...
    async def stop(self) -> None: ...


class BlobWriter(Protocol):
    size: int

    async def write(self, chunk: bytes) -> None: ...
    async def commit(self) -> str:
        """Make the bytes durable (file and directory) and answer their SHA-256 in hex: the blob's
        name."""
        ...

    async def abort(self) -> None: ...


class Blobs(Protocol):
    """Content-addressed bytes, named by SHA-256 (hex)."""

    def create(self) -> BlobWriter: ...
    async def put(self, data: bytes) -> str: ...
    def open(self, digest: str) -> int:
        """A file descriptor for reading (the caller closes it); ``FileNotFoundError`` when
        absent."""
        ...

    def size(self, digest: str) -> int: ...
    def read(self, digest: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]: ...
    async def delete(self, digest: str) -> None: ...
    def list(self) -> list[str]: ...


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def random_bytes(self, n: int) -> bytes: ...
