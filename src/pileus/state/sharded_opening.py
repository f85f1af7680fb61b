"""A store of several shards from its start to its end: their states, logs and doors.

On one machine the writer owns all the logs; on a node of a cluster it follows them
(``following.py``); the other processes reach each through its own socket.
"""

from __future__ import annotations

import asyncio
import functools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from pileus.engine import Clock, SharedLog, WriterLog
from pileus.engine.barriers import SharedBarrier
from pileus.engine.embedded.front import FrontLog
from pileus.engine.embedded.log import EmbeddedLog
from pileus.engine.embedded.writer import WriterDoor
from pileus.errors import Unavailable
from pileus.state import entry as codec
from pileus.state import owned, sharing, tablets, versions
from pileus.state.crossing import LOCK_S, Crossing
from pileus.state.database import READER_KIB, STATE_FILE, connect_reader
from pileus.state.following import Follower, Opened
from pileus.state.hurt import hurt
from pileus.state.mending import opened
from pileus.state.placing import Layout, Placing
from pileus.state.rebuild import Clustered
from pileus.state.replica import SqliteReplica
from pileus.state.rules import Rule
from pileus.state.shard import Shard, home_of
from pileus.state.sharded_reader import ShardedReader
from pileus.state.store import Store
from pileus.state.strongly import Barrier, Strongly
from pileus.state.turn import TurnRows
from pileus.state.versions import RuleBook

log = logging.getLogger("pileus.state.sharded")
NO_WISHES = Placing()
NO_RULES = RuleBook({})


class ShardedOpening(Store):
    """``count``: how many shards are wanted; ``known``: how many the home was seen to have.
    ``layout``: where a new map's tablets begin and in which shard each lies, if not as ``placing``
    says."""

    _all: ShardedReader
    crossing: Crossing

    def __init__(
        self,
        home: Path,
        clock: Clock,
        book: Mapping[str, Rule] | RuleBook = NO_RULES,
        count: int = 0,
        layout: Layout | None = None,
        lock_s: float = LOCK_S,
        known: int = 1,
        placing: Placing = NO_WISHES,
    ) -> None:
        super().__init__(home, clock)
        self.placing = placing
        self._count, self._known, self._layout, self._lock_s = count, known, layout, lock_s
        self._book = book if isinstance(book, RuleBook) else RuleBook(book)
        self._follower: Follower | None = None  # on a node of a cluster
        self._followed: list[Opened] = []
        self._quiet: set[int] = set()
        self._doors: list[WriterDoor] = []

    def _share(self, shards: list[Shard]) -> None:
        """From now on ``shards`` (more are added) are read and written."""
        raise NotImplementedError

    async def _open_replica(self, rules: Mapping[str, Rule] | RuleBook, cluster: Clustered) -> None:
        heard = (self._committed, self._failed)
        self._follower = Follower(self.home, cluster, self._book, *heard, self._known)
        (self.replica, first), *self._followed = await self._follower.follow_all()
        self._writing(first)

    async def _serve(self) -> None:
        """The writer: bring up the other shards before anybody is served."""
        first = self._first_shard(self.replica)
        self._share([first])
        self._ask_when_quiet(first)
        if self._follower is None:
            await self._open_here(first)
        else:
            await self._open_on_node(first, self._follower)
        if len(self.shards) > 1:
            await sharing.share(self.shards, self._all, self.crossing, self.placing.shared)
        for shard in self.shards:
            shard.rows.keep_pages(READER_KIB, len(self.shards))
            assert shard.replica is not None and not isinstance(shard.log, FrontLog)
            await shard.log.run(functools.partial(shard.replica.keep_pages, len(self.shards)))
        for shard in self.shards[1:]:
            assert not isinstance(shard.log, FrontLog)
            path = self.home / "run" / f"writer-{shard.number}.sock"
            self._doors.append(WriterDoor(path, shard.log, self._watches))
            await self._doors[-1].open()
        await super()._serve()

    async def _open_here(self, first: Shard) -> None:
        known = tablets.shards(self._reader)
        if self._count > known:
            await self._lay_out(first, self._wanted())
        for number in range(1, tablets.shards(self._reader)):
            home = home_of(self.home, number)
            home.mkdir(parents=True, exist_ok=True, mode=0o700)
            replica = await asyncio.to_thread(opened, home, self._book)
            made = EmbeddedLog(self._committed, functools.partial(hurt, home))
            await made.start(replica)
            self._add(number, made, replica)
            if versions.in_force(self.shards[-1].rows) < self._book.version:
                # The first entry: none is older.
                await versions.settle_shard(self.shards[-1], self._book)
            await self._found(self.shards[-1])

    async def _open_on_node(self, first: Shard, follower: Follower) -> None:
        for number, (replica, made) in enumerate(self._followed, 1):
            self._add(number, made, replica)
        for shard in self.shards[1:]:
            await self._found_on_node(shard)
        if self._count > len(self.shards):
            await self._grow(first, follower)
        asked = [SharedBarrier(cast(WriterLog, s.log).barrier).wait for s in self.shards]
        self._read_strongly(asked)
        await follower.whole(self.shards)

    async def _grow(self, first: Shard, follower: Follower) -> None:
        """More shards than before, for all nodes. Their logs are made before the map of tablets
        knows them: one it knows and that is not there was lost."""
        assert not isinstance(first.log, FrontLog)
        try:
            wanted = self._wanted()
            copies = await cast(SharedLog, first.log).copies()
            for number in range(len(self.shards), self._count):
                replica, made = await follower.follow(number, copies)
                self._add(number, made, replica)
                await self._found_on_node(self.shards[-1], wanted)
            follower.count = self._count
            await self._lay_out(first, wanted)
        except Unavailable as error:
            log.error("there are to be %d shards, but not now: %s", self._count, error)
            follower.count = known = tablets.shards(self._reader)
            await self._drop(self.shards[known:])
            del self.shards[known:]

    def _wanted(self) -> Layout:
        return self._layout or self.placing.first(self._reader, self._count)

    async def _lay_out(self, first: Shard, layout: Layout) -> None:
        args = {"shards": self._count, "tablets": [list(t) for t in layout]}
        told = await first.submit("tablet.layout", args, epoch=self.tablets.epoch)
        codec.open_verdict(told)

    def _add(self, number: int, made: Any, replica: SqliteReplica) -> None:
        self.shards.append(self._shard(number, made, replica))
        self._ask_when_quiet(self.shards[-1])

    def _ask_when_quiet(self, shard: Shard) -> None:
        assert shard.replica is not None
        shard.replica.wal.quiet = functools.partial(self._ask_quiet, shard.number)

    def _shard(self, number: int, made: Any, replica: SqliteReplica | None = None) -> Shard:
        home = home_of(self.home, number)
        connection = connect_reader(home / STATE_FILE)
        met = functools.partial(hurt, home)
        rows = TurnRows(connection, self._generations, asyncio.get_running_loop(), met)
        shard = Shard(number, home, made, rows, self._clock, replica, self._tablets_now)
        shard.close_rows = connection.close
        return shard

    async def _found(self, shard: Shard) -> None:
        """Tell a shard which it is and what is its own."""
        if owned.number(shard.rows) is None:
            mine = [[t.start, t.end] for t in self.tablets.tablets if t.shard == shard.number]
            await shard.ask("shard.found", {"shard": shard.number, "ranges": mine})

    async def _found_on_node(self, shard: Shard, layout: Layout = ()) -> None:
        """Whichever node is first. (Newer rules come into force when all nodes know them.)"""
        if not versions.in_force(shard.rows):
            await versions.settle_shard(shard, self._book)
        if shard.number < tablets.shards(self._reader) or self.tablets.epoch:
            await self._found(shard)
        elif owned.number(shard.rows) is None:  # the map is yet to be
            starts = [*layout[1:], (tablets.LAST, 0)]
            mine = [
                [start, end]
                for (start, number), (end, _) in zip(layout, starts, strict=True)
                if number == shard.number
            ]
            await shard.ask("shard.found", {"shard": shard.number, "ranges": mine})

    def _ask_quiet(self, number: int, wanted: bool) -> None:
        """Any shard's write-ahead log may want readers to keep quiet."""
        (self._quiet.add if wanted else self._quiet.discard)(number)
        self._generations.keep_quiet(bool(self._quiet))

    @classmethod
    async def connect(
        cls, home: Path, clock: Clock, *, node: str = "", **more: Any
    ) -> ShardedOpening:
        """The writer has all shards up before it is reached."""
        store = await super().connect(home, clock, node=node, **more)
        assert isinstance(store, ShardedOpening)
        store._share(store.shards)
        for number in range(1, tablets.shards(store._reader)):
            path = home / "run" / f"writer-{number}.sock"
            front = FrontLog(path, store._watches, clustered=bool(node))
            await front.start()
            store.shards.append(store._shard(number, front))
            store._guard(front, home_of(home, number))
        for shard in store.shards:
            shard.rows.keep_pages(READER_KIB, len(store.shards))
        if node:
            store._read_strongly([shard.log.barrier for shard in store.shards])
        return store

    def _read_strongly(self, barriers: Sequence[Barrier]) -> None:
        self._strongly = Strongly(barriers, self._all.shards_of, self._all.deciding)
        self.strong = self.strong_in = self._strongly.wait

    async def close(self) -> None:
        for door in self._doors:
            await door.close()
        if self._follower is not None:
            await self._follower.stop()
        await self._drop(self.shards[1:])
        await super().close()

    async def _drop(self, shards: list[Shard]) -> None:
        for shard in shards:
            cast(TurnRows, shard.rows).let_go()
            await shard.log.stop()
            cast(TurnRows, shard.rows).let_go()
            shard.close_rows()
