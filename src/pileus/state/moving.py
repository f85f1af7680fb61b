"""Moving tablets between shards: carries out the plans that shard 0's rows hold.

Any process may run it, also two at once, also after one died in the middle: every step looks where
things stand first, and names the plan it is of. ``Conflict``: another mover was faster.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from pileus.engine import Clock
from pileus.errors import Unavailable
from pileus.state import keys, moves, owned, tablets, versions
from pileus.state.crossing import Crossing
from pileus.state.entry import RULES_VERSION
from pileus.state.gate import Needs, with_needs
from pileus.state.moves import Plan
from pileus.state.owned import INFINITE
from pileus.state.placing import Layout
from pileus.state.shard import Shard

log = logging.getLogger("pileus.state.moving")
CHUNK_ROWS, CHUNK_BYTES = 1000, 1024 * 1024
FEW = 100  # dirty rows: worth a pause of writes
ROUNDS_MAX = 50
NAMED_SINCE = 4  # the version of rules from which on a step names its plan
STILL_TRIES, STILL_S = 1000, 0.02
Place = list[Any]  # where a copy stands: [key, count]


class Mover:
    """``assign`` plans and carries out; ``advance`` goes on with every plan there is."""

    def __init__(
        self,
        shards: Sequence[Shard],
        crossing: Crossing,
        clock: Clock,
        together: Callable[[bytes, bytes], list[tuple[bytes, bytes]]],
    ) -> None:
        self._together = together
        self._shards = shards
        self._crossing = crossing
        self._clock = clock
        self.moved_rows = 0  # copied by this process

    @property
    def plans(self) -> list[Plan]:
        return moves.plans(self._shards[0].rows)

    async def bring(self, start: bytes, end: bytes, target: int) -> None:
        """``assign``, with what should lie where this range does."""
        for low, high in self._together(start, end):
            await self.assign(low, high, target)

    async def spread(self, layout: Callable[[int], Layout]) -> int:
        """Where shards were added: give each what the layout of a new home of so many would, once
        (what an operator moves later stays). Answers how many tablets went."""
        first = self._shards[0].rows
        count = tablets.shards(first)
        if tablets.spread_over(first) >= count:
            return 0
        wished = layout(count)
        ends = [start for start, _ in wished[1:]] + [tablets.LAST]
        held = {t.shard for t in tablets.load(first).tablets}
        planned = [p.target for p in self.plans]
        empty = set(range(1, count)) - held - set(planned)
        for (start, shard), end in zip(wished, ends, strict=True):
            if empty and start and tablets.load(first).locate(start).start != start:
                await self._shards[0].ask("tablet.split", {"at": start})
            if shard in empty:
                await self.plan(start, end, shard)
        done = await self.advance()
        await self._shards[0].ask("tablet.spread", count)
        return done

    async def assign(self, start: bytes, end: bytes, target: int) -> None:
        """``plan``, and carry it out."""
        await self.plan(start, end, target)
        await self.advance()

    async def plan(self, start: bytes, end: bytes, target: int) -> None:
        """Let start <= key < end (``end`` b"": no end) lie in shard ``target``: cuts tablets where
        they cross its ends; what lies elsewhere is to move. ``AwsError`` InvalidMove."""
        first = self._shards[0]
        for at in (start, end):
            if at and tablets.load(first.rows).locate(at).start != at:
                await first.ask("tablet.split", {"at": at})
        for tablet in tablets.load(first.rows).within(start, end or INFINITE):
            if tablet.shard != target:
                await first.ask("move.plan", {"start": tablet.start, "target": target})

    async def advance(self) -> int:
        """Go on with every plan until it is done; answers how many were."""
        done = 0
        for plan in self.plans:
            await self._carry_out(plan)
            done += 1
        return done

    async def _carry_out(self, plan: Plan) -> None:
        first, source, target = (self._shards[n] for n in (0, plan.source, plan.target))
        # What is removed somewhere is looked for elsewhere on every node: the map as it is, or as
        # it will be.
        mapped = {0: await first.log.barrier()}
        if tablets.load(first.rows).locate(plan.start).shard == plan.source:
            copied = await self._copy(plan, source, target, mapped)
            told = self._step(plan, first, target=plan.target)
            mapped = {0: (await first.place("move.switch", with_needs(told, copied)))[1]}
        await target.ask("move.open", with_needs(self._step(plan, target), mapped))
        await source.ask("move.drop", self._step(plan, source))
        await self._purge(source, plan, mapped)
        done = self._step(plan, first)
        await first.ask("move.moved", done if "made" in done else plan.start)
        log.info("a tablet has moved from shard %d to %d", plan.source, plan.target)

    def _step(self, plan: Plan, shard: Shard, **more: Any) -> dict[str, Any]:
        """A step's arguments, as the rules in force in ``shard`` know them."""
        version = versions.in_force(shard.rows) or RULES_VERSION
        made = {"made": plan.made} if version >= NAMED_SINCE else {}
        return {"start": plan.start, "end": plan.end, **made, **more}

    async def _purge(self, shard: Shard, plan: Plan, mapped: Needs) -> None:
        args = with_needs({"start": plan.start, "end": plan.end, "limit": CHUNK_ROWS}, mapped)
        while await shard.ask("move.purge", args) == CHUNK_ROWS:
            pass

    async def _copy(self, plan: Plan, source: Shard, target: Shard, mapped: Needs) -> Needs:
        """Until the target has the whole range. Answers which entry of its log says so, and the
        source's last that may have written in it: others of that shard's rows fit to it."""
        if target.rows.row(moves.cursor_key(plan.start)) is None:
            if self._adopted(plan, target):
                return {s.number: await s.log.barrier() for s in (source, target)}
            await self._purge(target, plan, mapped)  # what an earlier stay may have left
        at = await target.ask("move.arrive", self._step(plan, target, source=plan.source))
        await source.ask("move.leave", self._step(plan, source, target=plan.target))
        top = plan.end or INFINITE
        while at[0] < top:
            at = await self._chunk(plan, source, target, at, top)
        for _ in range(ROUNDS_MAX):
            count, at = await self._catch_up(plan, source, target, at)
            if count <= FEW:
                break
        (above, still), count = await self._still(source, plan), 1
        while count:
            count, at = await self._catch_up(plan, source, target, at)
        told = self._step(plan, target, above=above, shut=True)
        return {source.number: still, target.number: (await target.place("move.adopt", told))[1]}

    def _adopted(self, plan: Plan, target: Shard) -> bool:
        """Whether the target has all of it: the mover died before the map was switched."""
        found = owned.load(target.rows).find(plan.start)
        return found is not None and found.state in (owned.ARRIVED, owned.SERVING)

    async def _chunk(
        self, plan: Plan, source: Shard, target: Shard, at: Place, top: bytes
    ) -> Place:
        rows = source.rows.range(at[0], top, CHUNK_ROWS)
        size = count = 0
        while count < len(rows) and size < CHUNK_BYTES:
            size += len(rows[count].value)
            count += 1
        whole = count == len(rows) and count < CHUNK_ROWS
        after = top if whole else rows[count - 1].key + b"\x00"
        given = [[r.key, r.value, r.version] for r in rows[:count]]
        return await self._give(plan, target, given, at, after)

    async def _give(
        self, plan: Plan, target: Shard, rows: list[list[Any]], at: Place, after: bytes
    ) -> Place:
        args = self._step(plan, target, rows=rows, at=at, next=after)
        told: Place = await target.ask("move.take", args)
        self.moved_rows += len(rows)
        return told

    async def _catch_up(
        self, plan: Plan, source: Shard, target: Shard, at: Place
    ) -> tuple[int, Place]:
        """Copy what changed since; answers how many rows had, and where the copy stands."""
        prefix = keys.partition_prefix("moves", plan.start)
        dirty = source.rows.range(prefix, keys.after_prefix(prefix), CHUNK_ROWS)
        given: list[list[Any]] = []
        size = 0
        for mark in dirty:
            key = keys.split(mark.key)[2]
            row = source.rows.row(key)
            given.append([key, row.value if row else None, row.version if row else 0])
            size += len(row.value) if row else 0
            if size >= CHUNK_BYTES:
                break
        if not given:
            return 0, at
        at = await self._give(plan, target, given, at, at[0])
        copied = dirty[: len(given)]
        await source.ask("move.clean", [[m.key, m.version] for m in copied])
        return len(dirty), at

    async def _still(self, source: Shard, plan: Plan) -> tuple[int, int]:
        """Freeze the range, and wait until no transaction holds anything in it; answers the
        source's last version, and its last entry."""
        for _ in range(STILL_TRIES):
            (held, sequence), at = await source.place("move.freeze", self._step(plan, source))
            if not held:
                return int(sequence), at
            await self._clock.sleep(STILL_S)
            await self._crossing.sweep()
        raise Unavailable("a transaction holds rows of a tablet that is to move", "it goes on")
