"""The store as services see it: read rows here, submit entries, learn when a table changed.

Reads are synchronous and see every write acknowledged before them (one machine: a committed read
is strong). Writes are entries; the answer comes after the entry is durable and applied.
One process writes (``Store.open``); the others hand it their entries (``Store.connect``) and read
the same file.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

import msgspec
import orjson

from pileus.engine import Clock, LostEnd, Outcome, Removed, WriterLog
from pileus.engine.barriers import SharedBarrier
from pileus.engine.embedded.front import FrontLog
from pileus.engine.embedded.generations import Generations, row_slot, slot
from pileus.engine.embedded.log import EmbeddedLog
from pileus.engine.embedded.watches import Watches, settle
from pileus.engine.embedded.writer import WriterDoor
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import degraded, keys, tablets, versions
from pileus.state import entry as codec
from pileus.state.database import STATE_FILE, connect_reader
from pileus.state.draft import Draft
from pileus.state.entry import Corrupt
from pileus.state.following import Follower, Outgrown, mended_by_copy
from pileus.state.hurt import hurt
from pileus.state.mending import opened
from pileus.state.rebuild import Clustered, wish, wished
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.shard import Shard, home_of
from pileus.state.strongly import Spans
from pileus.state.turn import TurnRows
from pileus.state.tx import Row, change_key, change_prefix
from pileus.state.versions import RuleBook

log = logging.getLogger("pileus.state.store")
T = TypeVar("T")
ATTEMPTS_FREE = 3
ATTEMPTS_MAX = 100


class Store:
    """One process's view of the state. Open with ``Store.open`` (the writer) or ``Store.connect``;
    close with ``close``."""

    replica: SqliteReplica  # of the writer only
    log: WriterLog | FrontLog
    get: Callable[[bytes], bytes | None]  # the row's bytes, or None
    # The bytes of the rows with start <= key < end, in key order (or its reverse): (start, end,
    # limit, reverse).
    contents: Callable[[bytes, bytes, int, bool], list[bytes]]
    # Before a strong read, on a cluster: await it. None on one machine, where every committed read
    # is strong.
    strong: Callable[[], Awaitable[int]] | None = None
    # ``at(row_slot(key))`` grows whenever that row changes, in any process, as ``generation`` does
    # for a table; of a ``keys.head``, whenever a row of its partition does. Where there are several
    # shards a row is as it was only while ``stamp`` (of some table) tells the same too.
    row_slot = staticmethod(row_slot)
    # Where shards are several: the same before a read of some rows.
    strong_in: Callable[[Spans], Awaitable[int]] | None = None
    node: str = ""  # this node's name in its cluster
    _door: WriterDoor | None = None
    _loop: asyncio.AbstractEventLoop

    def __init__(self, home: Path, clock: Clock) -> None:
        self.home = home
        self.met = functools.partial(hurt, home)  # what to raise for an error of a read
        self._clock = clock
        (home / "run").mkdir(parents=True, exist_ok=True, mode=0o700)
        self._generations = Generations(home / "run" / "generations")
        self._watches = Watches(self._generations)
        self._map = tablets.TabletMap([tablets.WHOLE], 0)
        self._map_generation = -1
        self._tablets_now = self._generations.counter("tablets")
        self.stamp: Callable[..., Callable[[], Any]] = self._generations.stamp
        self.at: Callable[[int], int] = self._generations.at
        self._contended = asyncio.Lock()
        self.shards: list[Shard] = []  # all of them, by number, once the store is open

    @classmethod
    async def open(
        cls,
        home: Path,
        rules: Mapping[str, Rule] | RuleBook,
        clock: Clock,
        cluster: Clustered | None = None,
        **more: Any,
    ) -> Store:
        """The writer's store: owns the log and the state file, serves the node's other processes.
        On a node of a cluster it catches up first, from another node's state if it must;
        ``Outgrown`` where there are more shards than it opens."""
        store = cls(home, clock, **more)
        store._loop = asyncio.get_running_loop()
        if cluster is None:
            store.replica = await asyncio.to_thread(opened, home, rules)
            store._writing(EmbeddedLog(store._committed, store.met))
            await store.log.start(store.replica)  # type: ignore[call-arg]
        else:
            store.node = cluster.node
            try:
                await store._open_replica(rules, cluster)
            except Outgrown:
                store._generations.close()
                raise
        store._read_from(home / STATE_FILE)
        if cluster is None or not store.tablets.rules:
            await versions.settle(store, store.replica.book)
        else:  # new rules come into force when all nodes know them: nodes.agreeing
            versions.check(store, store.replica.book)
        await store._serve()
        return store

    async def _serve(self) -> None:
        """Open the door to this node's other processes."""
        if not self.shards:
            self.shards = [self._first_shard(self.replica)]
        log = cast(WriterLog, self.log)
        self._door = WriterDoor(self.home / "run" / "writer.sock", log, self._watches)
        await self._door.open()

    def _first_shard(self, replica: SqliteReplica | None) -> Shard:
        return Shard(0, self.home, self.log, self._reader, self._clock, replica, self._tablets_now)

    def _writing(self, log: WriterLog) -> None:
        self._generations.bump_all()
        self.replica.wal.quiet = self._generations.keep_quiet
        self.log = log

    async def _open_replica(self, rules: Mapping[str, Rule] | RuleBook, cluster: Clustered) -> None:
        """Open the state and its log, on a node of a cluster."""
        book = rules if isinstance(rules, RuleBook) else RuleBook(rules)
        follower = Follower(self.home, cluster, book, self._committed, self._failed)
        self.replica, log = await follower.follow(0)
        self._writing(log)
        self.strong = SharedBarrier(log.barrier).wait

    @property
    def degraded(self) -> str:
        """Why this node can only read what it has, possibly old ("": it can do everything)."""
        return degraded.told(self.home) if self.node else ""

    def distrust(self, why: str, shard: int = 0) -> None:
        """Nodes that agree contradict this one's rows of a shard: it begins anew from another's
        state."""
        self._failed(Corrupt(why), shard)

    def _failed(self, error: Exception, shard: int = 0) -> None:
        """This node's replica of a shard can never go on. What another node's state can mend is
        fetched at the next start; a log that lost its end needs this state: it stays, and refuses
        writes. So does a node that was removed, until it is stopped (``nodes.station``)."""
        if isinstance(error, LostEnd | Removed):
            return
        if mended_by_copy(error):
            wish(home_of(self.home, shard), str(error))
        log.error("this node stops serving until its state is rebuilt: %s", error)
        os.kill(os.getpid(), signal.SIGTERM)

    @classmethod
    async def connect(cls, home: Path, clock: Clock, *, node: str = "", **more: Any) -> Store:
        """A front process's store (``node``: its node's name in a cluster); ``Unavailable`` when
        no writer answers within 30 s."""
        store = cls(home, clock, **more)
        front = FrontLog(home / "run" / "writer.sock", store._watches, clustered=bool(node))
        store.log = front
        await front.start()
        if node:
            store.node = node
            store.strong = front.barrier
        store._guard(front, home)
        store._read_from(home / STATE_FILE)
        store.shards = [store._first_shard(None)]
        return store

    def _guard(self, front: FrontLog, home: Path) -> None:
        """End this process (it is started again) when the state it reads in a shard's home is no
        longer its node's: another file, one that must not be used, or one of more shards."""
        file = home / STATE_FILE
        opened = file.stat().st_ino

        def look() -> None:
            if (
                wished(home)
                or not file.exists()
                or file.stat().st_ino != opened
                or (self.node and tablets.shards(self._reader) != len(self.shards))
            ):
                log.error("the state of this node is replaced: this process starts again")
                os.kill(os.getpid(), signal.SIGTERM)

        front.parted = front.reconnected = look

    def _read_from(self, path: Path) -> None:
        self._connection = connect_reader(path)
        loop = asyncio.get_running_loop()
        self._reader = TurnRows(self._connection, self._generations, loop, self.met)
        self.get, self.contents = self._reader.value, self._reader.contents

    def _committed(self, replica: SqliteReplica) -> None:
        """On the writer thread: after the commit, before the answers."""
        slots = {slot(table) for table in replica.touched}
        self._generations.bump(slots.union(map(row_slot, replica.written)))
        awaited = self._watches.interested(slots)
        if awaited:
            self._loop.call_soon_threadsafe(self._watches.wake, awaited)

    # -- reads ---------------------------------------------------------------------------

    def row(self, key: bytes) -> Row | None:
        """The row, or None."""
        return self._reader.row(key)

    def values(self, keys: Iterable[bytes]) -> list[bytes | None]:
        """The bytes of several rows (None where there is none), all as of one moment."""
        return self._reader.values(keys)

    def get_json(self, key: bytes) -> Any | None:
        """The row's bytes parsed as JSON, or None."""
        value = self.get(key)
        return None if value is None else orjson.loads(value)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        """Rows with start <= key < end in key order (or its reverse), at most ``limit``."""
        return self._reader.range(start, end, limit, reverse)

    def pairs(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        """``range`` as plain (key, bytes) tuples: cheaper where many rows are read."""
        return self._reader.pairs(start, end, limit, reverse)

    def partition(self, table: str, partition: str | bytes, limit: int = 1_000_000) -> list[Row]:
        """All rows of one partition, in sort-key order."""
        prefix = keys.partition_prefix(table, partition)
        return self.range(prefix, keys.after_prefix(prefix), limit)

    def generation(self, table: str) -> int:
        """A number that grows whenever a row of ``table`` changes, in any process: the key to a
        safe cache. Read it before reading what you cache."""
        return self._generations.get(table)

    def counter(self, table: str) -> Callable[[], int]:
        """``generation(table)`` as a function of nothing, for paths that ask on every request."""
        return self._generations.counter(table)

    async def changed(self, table: str, since: int, timeout_s: float = 60.0) -> bool:
        """Wait until ``generation(table)`` is no longer ``since``; False when time ran out."""
        place = slot(table.encode())
        if self._generations.at(place) != since:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watches.add(place, since, lambda: settle(future))
        if isinstance(self.log, FrontLog):
            self.log.watch(place, since)
        try:
            await asyncio.wait_for(future, timeout_s)
        except TimeoutError:
            return self._generations.at(place) != since
        return True

    def changes(
        self, topic: str, after: tuple[int, int] = (0, -1), limit: int = 100
    ) -> list[tuple[int, int, bytes]]:
        """Change records of ``topic`` above position ``after`` = (sequence, index)."""
        start = change_key(topic, after[0], after[1] + 1)
        end = keys.after_prefix(change_prefix(topic))
        out = []
        for row in self.range(start, end, limit):
            at = keys.split(row.key)[2]
            out.append((int.from_bytes(at[:8], "big"), int.from_bytes(at[8:], "big"), row.value))
        return out

    @property
    def tablets(self) -> tablets.TabletMap:
        """The routing map, as new as the last change of it."""
        now = self._tablets_now()
        if now != self._map_generation:
            self._map, self._map_generation = tablets.load(self._reader), now
        return self._map

    # -- writes --------------------------------------------------------------------------

    async def submit(self, rule: str, args: Any, request_id: bytes = b"") -> Any:
        """Append one entry; answers the rule's result once the entry is durable and applied here.
        A repeat of (``request_id``, ``rule``) is answered with the first one's verdict: one call
        that submits a rule several times needs an id for each. Raises the rule's ``AwsError`` or
        ``Conflict``; ``Unavailable`` when the entry could not be made durable."""
        for _ in range(ATTEMPTS_MAX):
            entry = self._pack(rule, args, request_id)
            outcome: Outcome = await self.log.append(entry)
            try:
                return codec.open_verdict(outcome.verdict)
            except codec.StaleEpoch:
                continue
        raise Unavailable("the map of tablets keeps changing", "try again")

    def submit_soon(
        self,
        rule: str,
        args: Any,
        request_id: bytes,
        done: Callable[[Any, Exception | None], None],
    ) -> None:
        """``submit`` without a coroutine: ``done(result, error)`` is called on the loop. Raises
        what is wrong with the entry itself."""

        entry = self._pack(rule, args, request_id)
        reply = functools.partial(self._answered, rule, args, request_id, done)
        self.log.append_many(((entry, reply),))

    def _answered(
        self,
        rule: str,
        args: Any,
        request_id: bytes,
        done: Callable[[Any, Exception | None], None],
        outcome: Outcome | Exception,
    ) -> None:
        if not isinstance(outcome, Outcome):
            done(None, outcome)
        elif outcome.verdict == codec.OK_NONE:
            done(None, None)
        else:
            try:
                result = codec.open_verdict(outcome.verdict)
            except codec.StaleEpoch:
                self.submit_soon(rule, args, request_id, done)
            except Exception as error:
                done(None, error)
            else:
                done(result, None)

    def _pack(self, rule: str, args: Any, request_id: bytes) -> bytes:
        now = self._map if self._tablets_now() == self._map_generation else self.tablets
        version = now.rules or codec.RULES_VERSION
        return codec.pack(now.epoch, rule, self._clock.now_ms(), request_id, args, version)

    async def transact(self, change: Callable[[Draft], T], request_id: bytes = b"") -> T:
        """Run ``change(draft)`` against current rows and commit what it wrote, if nothing it read
        has changed; otherwise run it again. Whatever ``change`` raises leaves the state untouched.
        A repeat of ``request_id`` answers the first one's result, as plain msgpack values."""
        for _ in range(ATTEMPTS_FREE):
            done, result = await self._attempt(change, request_id)
            if done:
                return result
        # Many at once: of a group that read the same row only one wins. Those of this process
        # take turns, so that each meets the other processes' at most.
        async with self._contended:
            for attempt in range(ATTEMPTS_MAX):
                done, result = await self._attempt(change, request_id)
                if done:
                    return result
                await self._clock.sleep(0.0005 * attempt)
        raise Unavailable("too many writers want the same rows", "try again")

    async def _attempt(self, change: Callable[[Draft], T], request_id: bytes) -> tuple[bool, T]:
        """(True, result), or False when something read has changed meanwhile."""
        draft = Draft(self._reader, self._clock.now_ms())
        try:
            result = change(draft)
        except AwsError:
            # A repeat often fails on the traces of its own first run ("already exists").
            found, first = await self._recall(request_id) if request_id else (False, None)
            if not found:
                raise
            return True, cast(T, first)
        if draft.empty:
            return True, result
        answer = plain(result) if request_id else None
        try:
            kept = await self.submit("transact", draft.args() | {"answer": answer}, request_id)
        except Conflict:
            return False, result
        if kept == answer or not isinstance(kept, bytes):
            return True, result
        return True, cast(T, msgspec.msgpack.decode(kept))

    async def _recall(self, request_id: bytes) -> tuple[bool, Any]:
        """(True, result) when the log holds a transaction of this request."""
        try:
            kept = await self.submit("transact", {"recall": True}, request_id)
        except Conflict:
            return False, None
        return True, msgspec.msgpack.decode(kept) if isinstance(kept, bytes) else None

    async def barrier(self) -> None:
        """After this, reads here see everything acknowledged anywhere before the call."""
        await self.log.barrier()

    async def close(self) -> None:
        """Answer what waits, then let go of every file."""
        if self._door is not None:
            await self._door.close()
        self._reader.let_go()  # the log may want to write its last
        await self.log.stop()
        self._reader.let_go()
        self._connection.close()
        self._generations.close()


def plain(result: Any) -> bytes | None:
    """``result`` as msgpack where it comes back the same, else None."""
    try:
        packed = msgspec.msgpack.encode(result)
    except (TypeError, OverflowError, ValueError):
        return None
    return packed if msgspec.msgpack.decode(packed) == result else None
