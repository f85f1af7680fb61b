"""Where bytes become durable. An engine supplies three things and nothing else: Log, Blobs,
Clock."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any, NamedTuple, Protocol

from pileus.errors import Unavailable


class Behind(Unavailable):
    """The log no longer holds what this replica needs next, or the replica is of another history:
    it has to begin from a copy of another node's state."""

    def __init__(self, message: str) -> None:
        super().__init__(message, "the node fetches a checkpoint from another one")


class LostEnd(Exception):
    """The log stands before what it has already given: its servers lost what they had
    acknowledged. It must be made anew from the best replica."""


class Removed(Unavailable):
    """This node has left the cluster for good, by an entry of the log: nothing that it sends is
    answered from there on."""

    def __init__(self) -> None:
        super().__init__(
            "this node has left its cluster for good",
            "ask another node; this machine can join again with a new --home",
        )


class Renewed(Exception):
    """The log was made anew: whoever follows the old one starts again, and looks where it
    stands in the new."""


class Outcome(NamedTuple):
    """What became of one entry: its place in the log and the packed verdict ``apply`` reached."""

    sequence: int
    verdict: bytes


# The same in one step, from a tuple of the two.
as_outcome: Callable[[tuple[int, bytes]], Outcome] = partial(tuple.__new__, Outcome)


class LogEntry(NamedTuple):
    sequence: int
    data: bytes


class Replica(Protocol):
    """The state machine a log drives. ``applied`` is the last sequence number whose effects are in
    the state file. One thread at a time may call it."""

    @property
    def applied(self) -> int: ...

    @property
    def chain(self) -> bytes:
        """The running hash of every entry applied, its verdict and its writes."""
        ...

    @property
    def position(self) -> bytes:
        """What the last ``apply_group`` that told a position was told; b"": none ever."""
        ...

    def apply_group(
        self, first: int, entries: Sequence[bytes], position: bytes = b""
    ) -> list[bytes]:
        """Apply ``entries`` (numbers ``first``, ``first+1``, …) in one transaction and answer one
        packed verdict per entry. When it raises, nothing was applied. ``position``: where a log
        kept elsewhere stands then, kept in the same transaction."""
        ...

    def entries(self, after: int, limit: int) -> list[LogEntry]:
        """Entries above ``after`` that the state file still holds (its journal)."""
        ...

    def forget(self, below: int) -> bool:
        """Drop some journal groups that lie wholly below ``below``; True: more are left."""
        ...

    def tidy(self) -> None:
        """Between two groups: finish work that must not run beside a commit."""
        ...

    def recover(self) -> None:
        """After ``apply_group`` failed: return to the last durable state, verified, or raise."""
        ...

    def close(self) -> None: ...


class Log(Protocol):
    """One shard's ordered log. ``append`` answers when the entry is durable *and* applied on this
    node; ``Unavailable`` means its fate is unknown (repeat it with the same request id)."""

    async def start(self, replica: Replica) -> None: ...
    def append(self, entry: bytes) -> Awaitable[Outcome]: ...
    async def barrier(self) -> int:
        """A sequence number, already applied here, not below anything acknowledged before the
        call."""
        ...

    async def read(self, after: int, limit: int = 1000) -> list[LogEntry]: ...
    async def trim(self, below: int) -> None: ...
    async def stop(self) -> None: ...


class WriterLog(Log, Protocol):
    """The log of the process that owns the state file; it serves the node's other processes."""

    def append_many(
        self, items: Sequence[tuple[bytes, Callable[[Outcome | Exception], None]]]
    ) -> None:
        """Queue entries; each reply is called on the loop with its outcome or error."""
        ...

    def run(self, task: Callable[[], Any]) -> Awaitable[Any]:
        """Run ``task`` on the thread that applies, between two groups."""
        ...


class SharedLog(WriterLog, Protocol):
    """A log that other machines keep too: for a time it may be out of reach. ``stands`` is told why
    nothing can be appended, "" when again it can. ``gate``: what of it waits for other shards' logs
    (``engine.cluster.log_apply.Gate``). ``found``: with how many copies to make it where there is
    none yet (0: never). ``trusted``: whether the replica is as far as it ever was, so that it may
    begin without the log. ``removed()``: whether an entry applied here took this node out of the
    cluster; asked after each commit, before anyone is answered."""

    stands: Callable[[str], None]
    removed: Callable[[], bool]
    gate: Any
    found: int
    trusted: bool

    async def copies(self) -> int:
        """How many it has."""
        ...


class Front(Protocol):
    """What a process that does not write needs of the one that does."""

    def append(self, entry: bytes) -> Awaitable[Outcome]: ...
    async def barrier(self) -> int: ...
    async def stop(self) -> None: ...


class BlobWriter(Protocol):
    size: int

    async def write(self, chunk: bytes) -> None: ...
    async def commit(self, digest: str = "") -> str:
        """Make the bytes durable (file and directory) and answer their SHA-256 in hex: the blob's
        name. ``digest``: what the bytes must hash to (``WrongDigest`` otherwise), or, for a writer
        made with ``hashed=False``, the digest the caller has computed itself."""
        ...

    async def abort(self) -> None: ...


class Blobs(Protocol):
    """Content-addressed bytes, named by SHA-256 (hex)."""

    def create(self, *, hashed: bool = True) -> BlobWriter: ...
    async def put(
        self,
        data: bytes | Callable[[], bytes | memoryview],
        check: Callable[[], None] | None = None,
    ) -> str:
        """Keep a whole blob; what makes its bytes runs on a thread, and may raise. They are used
        before that thread makes more. ``check`` runs on a thread, perhaps while they are written:
        where it raises, nothing was kept."""
        ...

    def open(self, digest: str) -> int:
        """A file descriptor for reading (the caller closes it); ``FileNotFoundError`` when
        absent."""
        ...

    def size(self, digest: str) -> int: ...
    def read(self, digest: str, offset: int = 0, length: int = -1) -> AsyncIterator[bytes]: ...
    async def delete(self, digest: str, idle_s: float = 0) -> bool:
        """Remove a blob not touched for ``idle_s`` seconds; answers whether it is gone."""
        ...

    def list(self) -> list[str]: ...
    async def fetch(self, digest: str) -> None:
        """Bring a blob here that ``open`` did not find: from another node, where there are any.
        ``FileNotFoundError``: there is no such blob; ``Unavailable``: it is out of reach now."""
        ...

    async def mend(self, digest: str) -> bool:
        """The blob's bytes do not make sense: compare them with their name, bring them from
        another node when they differ. True: they are right now."""
        ...


class Clock(Protocol):
    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        ...

    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...
    def random_bytes(self, n: int) -> bytes: ...
