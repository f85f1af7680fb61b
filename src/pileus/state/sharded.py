"""The store where shards are several: the same face, each key's reads and entries in its shard.

DESIGN.md has the page on isolation, time-outs and what readers see.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar, cast
from weakref import WeakValueDictionary

import msgspec

from pileus.engine import Clock
from pileus.errors import AwsError, Conflict, Unavailable
from pileus.state import entry as codec
from pileus.state import moves, owned
from pileus.state.crossing import Crossing, Ended
from pileus.state.draft import Draft
from pileus.state.footprint import Footprint, Recorder, Trial, shard_of
from pileus.state.moving import Mover
from pileus.state.rules import STATE_RULES, Rule
from pileus.state.shard import Shard
from pileus.state.sharded_opening import ShardedOpening
from pileus.state.sharded_reader import ShardedReader
from pileus.state.store import ATTEMPTS_MAX, plain
from pileus.state.tx import Row

log = logging.getLogger("pileus.state.sharded")
Spread = frozenset[int]  # the shards a change touches


class Turn:
    """Who takes turns: ``async with`` it waits for one's own."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._many = 0

    @property
    def others(self) -> bool:
        """Whether there is anybody but the one whose turn it is."""
        return self._many > 1

    async def __aenter__(self) -> Turn:
        self._many += 1
        try:
            await self._lock.acquire()
        except BaseException:
            self._many -= 1
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        self._many -= 1
        self._lock.release()


T = TypeVar("T")
MOVE_S = 1.0


class ShardedStore(ShardedOpening):
    """See ``Store``."""

    def __init__(self, home: Path, clock: Clock, *more: Any, **named: Any) -> None:
        super().__init__(home, clock, *more, **named)
        self._under_way: set[asyncio.Future[Any]] = set()
        self._rules_now: dict[str, Rule] = {}
        self._rules_version = -1

    def _share(self, shards: list[Shard]) -> None:
        self.shards = shards
        self._all = ShardedReader(shards, lambda: self.tablets, self._generations)
        self.get, self.contents = self._all.value, self._all.contents
        # A decided transaction is read before any table it writes is touched.
        self.stamp = lambda *tables: self._generations.stamp(*tables, "txn", "tablets")
        self.crossing = Crossing(self.shards, self._clock, self._lock_s)
        self.mover = Mover(self.shards, self.crossing, self._clock, self.placing.together)
        self._turns: WeakValueDictionary[Spread, Turn] = WeakValueDictionary()
        self._formers: list[moves.Former] = []
        self._formers_seen = -1
        self._first_key: dict[str, Any] = {}  # by rule; None: it is not to be guessed
        self._plans: tuple[list[moves.Plan], float] = [], 0.0  # under way, since when seen

    # -- reads -------------------------------------------------------------------------------

    def row(self, key: bytes) -> Row | None:
        return self._all.row(key)

    def values(self, keys: Iterable[bytes]) -> list[bytes | None]:
        return self._all.values(keys)

    def range(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[Row]:
        return self._all.range(start, end, limit, reverse)

    def pairs(
        self, start: bytes, end: bytes, limit: int = 1000, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        return self._all.pairs(start, end, limit, reverse)

    # -- writes ------------------------------------------------------------------------------

    def _try(self, rule: str, args: Any, request_id: bytes, place: int = 1) -> tuple[Trial, bytes]:
        """Run the rule on committed rows: what it touches, and its verdict if that stands.
        ``place``: what it is told as its place."""
        trial = Trial(Recorder(self._all), place, self._clock.now_ms(), request_id)
        try:
            found = self._rules(rule)
            assert found is not None
            own = msgspec.msgpack.decode(msgspec.msgpack.encode(args))  # rules may take them apart
            verdict = codec.ok(found(trial, own))
        except AwsError as refusal:
            verdict = codec.refused(refusal)
        except Conflict as clash:
            verdict = codec.conflict(clash)
        except Exception as fault:
            verdict = codec.bug(rule, fault)
        return trial, verdict

    def _rules(self, rule: str) -> Rule | None:
        """The rule as the version in force means it; None for those of the platform itself, whose
        rows every shard has of its own."""
        version = self.tablets.rules
        if version != self._rules_version:
            self._rules_now = {**STATE_RULES, **self._book.at(version)}
            self._rules_version = version
        return self._rules_now.get(rule)

    async def submit(self, rule: str, args: Any, request_id: bytes = b"") -> Any:
        if not self.shards:  # the start is not over
            return await super().submit(rule, args, request_id)
        if self._rules(rule) is None:
            return codec.open_verdict(await self.shards[0].submit(rule, args, request_id))
        told: bytes | Ended | Spread = await self._guessed(rule, args, request_id)
        if told is Ended.HELD:
            told = await self._spread(rule, args, request_id)
        if isinstance(told, frozenset):
            # Of many who want the same few win. Those of this process who touch the same shards
            # take turns; others are not kept waiting.
            async with self._turns.setdefault(told, Turn()) as turn:
                for attempt in range(1, ATTEMPTS_MAX):
                    told = await self._spread(rule, args, request_id, attempt, turn.others)
                    if not isinstance(told, frozenset):
                        break
        if isinstance(told, frozenset | Ended):
            raise Unavailable("too many want the same rows", "try again")
        return codec.open_verdict(told)

    async def _spread(
        self, rule: str, args: Any, request_id: bytes, attempt: int = 0, crowded: bool = False
    ) -> bytes | Spread:
        """Carry a rule out in the shards it touches. Where it is to be tried again: those shards,
        after a little while. ``crowded``: others of this process wait for the same."""
        trial, verdict = self._try(rule, args, request_id)
        change = trial.footprint()
        told = await self._commit(trial, rule, args, request_id, verdict, crowded)
        if isinstance(told, Ended):
            await self._again(change, attempt)
            return frozenset(change.shards(self.tablets))
        self._learn(rule, args, change)
        return told

    async def _guessed(self, rule: str, args: Any, request_id: bytes) -> bytes | Ended:
        """The verdict of a rule that so far only touched the shard of one of its arguments: its
        first key. Where that is wrong, that shard's log refuses, and the rule is tried first."""
        place, home = self._first_key.get(rule), self.placing.homes.get(rule)
        if (place is None and home is None) or (request_id and self._former()):
            return Ended.HELD
        try:
            where = self.tablets
            first = home(args) if home else args[place]
            shard = self.shards[shard_of(where, cast(bytes, first))]
        except (LookupError, TypeError, AttributeError):
            return Ended.HELD
        told = await shard.submit(rule, args, request_id, where.epoch)
        if told != codec.STALE_VERDICT:
            return told
        if not home:
            self._first_key[rule] = None
        return Ended.HELD

    def _learn(self, rule: str, args: Any, change: Footprint) -> None:
        """Note where among the arguments the first key touched was found, once for each rule."""
        if rule in self._first_key:
            return
        first = change.seen.first
        alone = len(change.shards(self.tablets)) == 1
        pairs = args.items() if isinstance(args, dict) else enumerate(_listed(args))
        places = [at for at, value in pairs if value == first] if alone and first else []
        self._first_key[rule] = places[0] if places else None

    def _former(self) -> list[moves.Former]:
        """Where ranges lay until a short while ago."""
        if self._tablets_now() != self._formers_seen:
            self._formers_seen = self._tablets_now()
            self._formers = moves.formers(self._reader)
        return self._formers

    async def _again(self, change: Footprint, attempt: int) -> None:
        """Wait before the next try; go on with a move that nobody goes on with."""
        await self.crossing.wait(change, attempt)
        plans, now = self.mover.plans, self._clock.monotonic()
        if not plans or plans != self._plans[0]:
            self._plans = plans, now
        elif now - self._plans[1] > MOVE_S:
            self._plans = [], now
            with contextlib.suppress(Conflict):  # another mover was faster
                await self.mover.advance()

    async def _recalled(
        self, change: Footprint, home: int, rule: str, args: Any, request_id: bytes
    ) -> bytes | None:
        """The verdict of a request that was carried out in another shard, where its first key lay
        until a short while ago. It cannot be carried out there again."""
        first = change.seen.first
        if not request_id or first is None or not self._former():
            return None
        since = self._clock.now_ms() - moves.REMEMBERED_MS
        for was in self._formers:
            late = was.at_ms < since or was.source == home
            if late or not was.start <= first < (was.end or owned.INFINITE):
                continue
            told = await self.shards[was.source].submit(rule, args, request_id)
            if told[1] not in (codec.STALE, codec.CONFLICT):
                return told
        return None

    async def _commit(
        self,
        trial: Trial,
        rule: str,
        args: Any,
        request_id: bytes,
        verdict: bytes,
        crowded: bool = False,
    ) -> bytes | Ended:
        """``crowded``: where many want the same shards, in the order of those; who prepare in all
        of them at once shut one another out, and none gets all. (Of a few who share some shards,
        those who begin with the same one would never get on.)"""
        where, change = self.tablets, trial.footprint()
        home, *others = change.shards(where)
        told = await self._recalled(change, home, rule, args, request_id)
        if told is not None:
            return told
        if not others:  # the verdict is the log's
            told = await self.shards[home].submit(rule, args, request_id, where.epoch)
            return Ended.HELD if told == codec.STALE_VERDICT else told
        if verdict[1] == codec.CONFLICT:
            return verdict
        # What ``write`` answers is its place, and nobody asks for it.
        place = 0
        if trial.placed and verdict[1] == codec.OK and rule != "write":
            place = await self.crossing.place(home, change.seen.highest)
            trial, verdict = self._try(rule, args, request_id, place)
            where, change = self.tablets, trial.footprint()
            if change.seen.highest >= place or verdict[1] == codec.CONFLICT:
                return Ended.HELD  # somebody wrote meanwhile
        return await self.crossing.commit(
            change, where, rule, request_id, verdict, place, one_first=crowded
        )

    def submit_soon(
        self,
        rule: str,
        args: Any,
        request_id: bytes,
        done: Callable[[Any, Exception | None], None],
    ) -> None:
        task = asyncio.ensure_future(self.submit(rule, args, request_id))
        self._under_way.add(task)

        def ended(task: asyncio.Future[Any]) -> None:
            self._under_way.discard(task)
            error = Unavailable("cut off") if task.cancelled() else task.exception()
            if error is None:
                done(task.result(), None)
            else:
                done(None, cast(Exception, error))

        task.add_done_callback(ended)

    async def _attempt(self, change: Callable[[Draft], T], request_id: bytes) -> tuple[bool, T]:
        seen = Recorder(self._all)
        draft = Draft(seen, self._clock.now_ms(), several=True)
        before = self._all.moment()
        try:
            result = change(draft)
        except AwsError as refusal:
            if await self._unsettled(seen):
                return False, cast(T, None)
            return True, cast(T, await self._refused(seen, refusal, request_id))
        if draft.empty:
            several = len(Footprint(seen, {}, []).shards(self.tablets)) > 1
            again = await self._unsettled(seen) or (several and self._all.moment() != before)
            if several and not again:
                again = not await self._stood_still(seen)
            return not again, result
        answer = plain(result) if request_id else None
        told = await self._committed_draft(seen, draft, request_id, answer)
        if told is None:
            return False, result
        kept = codec.open_verdict(told)
        if kept == answer or not isinstance(kept, bytes):
            return True, result
        return True, cast(T, msgspec.msgpack.decode(kept))

    async def _stood_still(self, seen: Recorder) -> bool:
        """Whether all that was read was so at one moment for all nodes: it is the same when the
        logs' barriers, begun after it was read, have passed. (Else of two nodes one might see a
        first write and not a second, and the other the second and not the first.)"""
        if self.strong_in is None:
            return True
        spans = [(key, key + b"\x00") for key in seen.reads]
        spans += [(start, end) for start, end, *_ in seen.ranges]
        await self.strong_in(lambda: spans)
        again = Recorder(self._all)
        for key in seen.reads:
            again.row(key)
        for start, end, limit, reverse, _ in seen.ranges:
            again.range(start, end, limit, reverse)
        same = again.reads == seen.reads and again.ranges == seen.ranges
        return same and not await self._unsettled(again)

    async def _unsettled(self, seen: Recorder) -> bool:
        """Whether a committed transaction has yet to write what was read; waits a little, then."""
        found = self._all.unsettled(seen)
        if found:
            await self.crossing.wait(Footprint(seen, {}, []), 3)
        return found

    async def _committed_draft(
        self, seen: Recorder, draft: Draft, request_id: bytes, answer: bytes | None
    ) -> bytes | None:
        """The verdict; None when it is to be tried again."""
        where = self.tablets
        told: bytes | Ended
        foot = Footprint(seen, *draft.wanted)
        home, *others = foot.shards(where)
        first = await self._recalled(foot, home, "transact", {"recall": True}, request_id)
        if first is not None:
            return first
        if others:
            verdict = codec.ok(answer)
            told = await self.crossing.commit(foot, where, "transact", request_id, verdict)
        else:
            args = draft.args() | {"answer": answer}
            told = await self.shards[home].submit("transact", args, request_id, where.epoch)
            if told == codec.STALE_VERDICT:
                told = Ended.HELD
        if told is Ended.HELD:
            await self._again(foot, 6)
        if isinstance(told, Ended) or told[1] == codec.CONFLICT:
            return None
        return told

    async def _refused(self, seen: Recorder, refusal: AwsError, request_id: bytes) -> Any:
        """The change refuses: with its first answer, where this is a repeat; with a verdict of
        the logs, where what it read lies in several shards."""
        foot = Footprint(seen, {}, [])
        for attempt in range(ATTEMPTS_MAX):
            home, *others = foot.shards(self.tablets)
            if not others and not request_id:
                raise refusal
            first = await self._recalled(foot, home, "transact", {"recall": True}, request_id)
            if first is not None:
                kept = codec.open_verdict(first)
                return msgspec.msgpack.decode(kept) if isinstance(kept, bytes) else None
            if others:
                verdict = codec.refused(refusal)
                told = await self.crossing.commit(
                    foot, self.tablets, "transact", request_id, verdict
                )
            else:
                told = await self.shards[home].submit("transact", {"recall": True}, request_id)
            if told is Ended.HELD:
                await self._again(foot, attempt)
                continue
            if isinstance(told, Ended) or told[1] == codec.CONFLICT:
                break
            kept = codec.open_verdict(told)
            return msgspec.msgpack.decode(kept) if isinstance(kept, bytes) else None
        raise refusal

    async def barrier(self) -> None:
        await asyncio.gather(*(shard.log.barrier() for shard in self.shards))


def _listed(args: Any) -> list[Any]:
    return list(args) if isinstance(args, list | tuple) else []
