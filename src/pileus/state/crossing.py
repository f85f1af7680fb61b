"""The author's side of a transaction across shards, and the end of those whose author is silent.

Prepare in every shard, decide at home, finish in the others, then answer. Whoever meets what a
silent author left ends it, after having watched it for ``LOCK_S`` by his own monotonic clock: no
two clocks are ever compared.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Sequence
from typing import Any, NamedTuple, cast

import msgspec

from pileus.engine import Clock
from pileus.errors import Conflict, Unavailable
from pileus.state import entry as codec
from pileus.state import keys, spanning
from pileus.state.entry import StaleEpoch
from pileus.state.footprint import Footprint
from pileus.state.gate import Needs, later, with_needs
from pileus.state.locks import DECIDED, HELD, Held, decided_key, decode_held, held_key
from pileus.state.shard import Shard
from pileus.state.tablets import TabletMap

log = logging.getLogger("pileus.state.crossing")
LOCK_S = 10.0
PAUSE_S, PAUSE_S_MAX = 0.0005, 0.05
PAGE = 1000
REFUSALS = Conflict, StaleEpoch


class Ended(enum.Enum):
    """How a transaction ended that has no verdict."""

    CHANGED = "what it read has changed"
    HELD = "something it touches is held, or has moved"


class Finished(NamedTuple):
    """A transaction that is finished in every shard, and by which entries."""

    txn: bytes
    needs: Needs


class Crossing:
    """For one process; ``shards`` by number."""

    def __init__(self, shards: Sequence[Shard], clock: Clock, lock_s: float = LOCK_S) -> None:
        self._shards = shards
        self._clock = clock
        self._lock_s = lock_s
        # By home: decided rows nobody needs, each with the entries that finished it elsewhere.
        self._finished: dict[int, list[Finished]] = {}
        self._watched: dict[bytes, float] = {}  # held transactions, since when they were seen

    # -- the author ------------------------------------------------------------------------

    async def place(self, home: int, above: int) -> int:
        """A place for a transaction among all shards' writes, above ``above``, as its home gives
        it."""
        found = int(await self._shards[home].ask(spanning.PLACE, above))
        return found

    async def commit(
        self,
        change: Footprint,
        where: TabletMap,
        rule: str,
        request_id: bytes,
        verdict: bytes,
        place: int = 0,
        one_first: bool = False,
    ) -> bytes | Ended:
        """Commit ``change`` with ``verdict`` (a refusal: only what was read is checked). Answers
        the verdict that stands: the first one's, where the request was answered before. ``place``:
        of what it writes, if its rule asked for one. ``one_first``: prepare in the shard with the
        lowest number before the others, so that of many who want the same rows one gets them all.
        ``Unavailable``: its fate is unknown; it ends by itself, all or nothing."""
        txn = self._clock.random_bytes(16)
        numbers = change.shards(where)
        home, *others = (self._shards[n] for n in numbers)
        elsewhere = await self._prepared(txn, change, where, place, one_first)
        if isinstance(elsewhere, Ended):
            return elsewhere
        forget = self._finished.pop(home.number, [])
        del elsewhere[home.number]
        args = {"id": txn, "rule": rule, "verdict": verdict, "forget": [f.txn for f in forget]}
        args = with_needs(args, later(elsewhere, *(f.needs for f in forget)))
        try:
            decided = await home.append(spanning.DECIDE, args, request_id)
        except BaseException:
            self._not_forgotten(home, forget)
            raise
        told = decided.verdict
        if home.rows.value(decided_key(txn)) is not None:
            needs = await self._finish(txn, others, {home.number: decided.sequence})
            self._not_forgotten(home, [Finished(txn, needs)])
            return told
        # Refused; or a repeat, answered with the first one's verdict; or somebody lost patience.
        left = home.rows.value(held_key(txn)) is not None
        if left or not codec.final(told):
            self._not_forgotten(home, forget)
        await self._let_go(txn, (home, *others) if left else others)
        return Ended.HELD if told[1] in (codec.CONFLICT, codec.STALE) else told

    async def _prepared(
        self, txn: bytes, change: Footprint, where: TabletMap, place: int, one_first: bool
    ) -> Needs | Ended:
        """Prepare in all shards, or in none. Answers where it is prepared now."""
        numbers = change.shards(where)
        lowest = min(numbers)
        steps = [[lowest], [n for n in numbers if n != lowest]] if one_first else [numbers]
        done: Needs = {}
        for step in steps:
            parts = [(n, change.part(where, n, numbers)) for n in step]
            told = await asyncio.gather(
                *(self._prepare(txn, n, numbers, part, place) for n, part in parts),
                return_exceptions=True,
            )
            failed = {n: e for n, e in zip(step, told, strict=True) if isinstance(e, BaseException)}
            if failed:  # who refuses holds nothing
                refused = {n for n, error in failed.items() if isinstance(error, REFUSALS)}
                held = {*done, *step} - refused
                await self._let_go(txn, [self._shards[n] for n in held])
                return _why(list(failed.values()))
            done |= {n: cast(int, at) for n, at in zip(step, told, strict=True)}
        return done

    async def _prepare(
        self, txn: bytes, shard: int, numbers: list[int], part: dict[str, Any], place: int
    ) -> int:
        """Answers the entry's place in the shard's log."""
        args = {"id": txn, "home": numbers[0], "shards": numbers, "place": place, **part}
        return (await self._shards[shard].place(spanning.PREPARE, args))[1]

    async def _finish(self, txn: bytes, shards: Sequence[Shard], decided: Needs | None) -> Needs:
        """``decided``: the entry of the home shard's log that says that it happened; None: it did
        not. Answers where it is finished now."""
        args = with_needs({"id": txn, "commit": decided is not None}, decided or {})
        told = await asyncio.gather(*(s.place(spanning.FINISH, args) for s in shards))
        return {s.number: at for s, (_, at) in zip(shards, told, strict=True)}

    async def _let_go(self, txn: bytes, shards: Sequence[Shard]) -> None:
        """It will not happen, whether or not that can be said everywhere now."""
        try:
            await self._finish(txn, shards, None)
        except Unavailable as e:
            log.info("a transaction is left for others to end: %s", e)

    def _not_forgotten(self, home: Shard, finished: list[Finished]) -> None:
        self._finished.setdefault(home.number, []).extend(finished)

    # -- whoever meets it --------------------------------------------------------------------

    async def wait(self, change: Footprint, attempt: int) -> None:
        """Before ``change`` is tried again: let whoever holds its rows finish; end those who do
        not."""
        chance = self._clock.random_bytes(1)[0] / 256  # two that meet must not meet again
        await self._clock.sleep(min(PAUSE_S * 2**attempt, PAUSE_S_MAX) * (0.5 + chance))
        await self.sweep(change)

    async def sweep(self, change: Footprint | None = None) -> int:
        """End the transactions (that are in ``change``'s way) which nobody has ended since this
        process first saw them ``lock_s`` ago; answers how many."""
        ended = 0
        present: dict[bytes, float] = {}
        now = self._clock.monotonic()
        for shard in self._shards:
            for txn, held in _held(shard):
                present[txn] = self._watched.get(txn, now)
                late = now - present[txn] >= self._lock_s
                if late and (change is None or change.meets(held)):
                    await self.end(txn, held)
                    ended += 1
        if change is None:
            for shard in self._shards:
                ended += await self._forget(shard, present, now)
            self._watched = present
        else:
            self._watched |= present
        return ended

    async def end(self, txn: bytes, held: Held) -> bool:
        """Make a transaction end as its home shard's log says: it is aborted unless it is decided.
        Answers whether it happened."""
        committed, at = await self._shards[held.home].place(spanning.ABORT, txn)
        others = [self._shards[n] for n in held.shards if n != held.home]
        await self._finish(txn, others, {held.home: at} if committed else None)
        log.info("ended the transaction %s of a silent author: %s", txn.hex(), committed)
        return bool(committed)

    async def _forget(self, home: Shard, present: dict[bytes, float], now: float) -> int:
        """Decided transactions that nobody forgot: make sure they are finished, then forget."""
        rows = home.rows.range(DECIDED, keys.after_prefix(DECIDED), PAGE)
        old: list[bytes] = []
        needs: Needs = {}
        for row in rows:
            txn = keys.split(row.key)[2]
            present[txn] = self._watched.get(txn, now)
            if now - present[txn] >= self._lock_s:
                numbers = msgspec.msgpack.decode(row.value, type=list[int])
                others = [self._shards[n] for n in numbers if n != home.number]
                at = {home.number: await home.log.barrier()}  # the decision is not above it
                needs = later(needs, await self._finish(txn, others, at))
                old.append(txn)
        if old:
            await home.ask(spanning.FORGET, with_needs({"txns": old}, needs))
        return len(old)


def _held(shard: Shard) -> list[tuple[bytes, Held]]:
    rows = shard.rows.range(HELD, keys.after_prefix(HELD), PAGE)
    return [(keys.split(r.key)[2], decode_held(r.value)) for r in rows]


def _why(failed: list[BaseException]) -> Ended:
    for error in failed:
        if not isinstance(error, REFUSALS):
            raise error
    changed = any(isinstance(e, Conflict) for e in failed)
    return Ended.CHANGED if changed else Ended.HELD
